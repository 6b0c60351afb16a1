//! Guests that nobody claims: listed for operators, adopted or destroyed by an explicit word, and never otherwise.

use super::site::{Site, id};
use cirro_models::{
    Generation, GiB, Id, MiB, Vcpus, Verbs,
    compute::{
        Instance, Node, UnclaimedGuest,
        instance::{InstanceStatus as S, Power},
        report::{GoneInstance, NodeReport, UnclaimedSeen},
    },
};
use cirro_server::testkit::Backend;
use futures_util::future::join;
use serde_json::{Value, json};

fn guest(site: &Site, id: Id<Instance>, name: &str) -> UnclaimedSeen {
    UnclaimedSeen {
        id,
        generation: Generation::new(5),
        name: name.to_owned(),
        project_id: Some(site.actors.project.uuid()),
        vcpus: Vcpus::new(2),
        memory_mib: MiB::new(512),
        disk_gib: GiB::new(4),
        image_id: Some(site.image.uuid()),
        running: true,
    }
}

async fn rows(site: &Site) -> Vec<UnclaimedGuest> {
    UnclaimedGuest::list(&site.compute.own_context(), &Default::default(), &Default::default()).await.unwrap().items
}

impl Site {
    async fn saw_unclaimed(&self, node: Id<Node>, unclaimed: Vec<UnclaimedSeen>) {
        self.report(node, NodeReport { unclaimed, ..self.saw() }).await;
    }
}

#[tokio::test]
async fn a_guest_that_nobody_claims_becomes_a_row_and_the_row_goes_with_it() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ours = site.running("web1").await;
        let lost = Id::new();
        let seen = vec![guest(&site, lost, "lost"), guest(&site, lost, "lost"), guest(&site, ours, "web1")];
        site.saw_unclaimed(site.node, seen.clone()).await;
        site.saw_unclaimed(site.node, seen).await;
        let found = rows(&site).await;
        assert_eq!(found.len(), 1, "ours is claimed, and a guest is one however often it is named");
        assert_eq!((found[0].instance_id, found[0].name.as_str()), (lost, "lost"));
        assert_eq!(Node::get(&site.compute.own_context(), site.node).await.unwrap().unclaimed.get(), 3);
        assert!(site.assignment(site.node, "").await.tombstones.is_empty(), "what is merely unknown is left alone");
        for actor in [site.actors.admin(), site.actors.member(), site.actors.node_of(site.node)] {
            assert_eq!(site.call(&actor, "GET", "unclaimedguest", Value::Null).await.good()["items"], json!([]));
        }
        site.saw_unclaimed(site.node, vec![]).await;
        assert!(rows(&site).await.is_empty());
    }
}

#[tokio::test]
async fn a_node_that_names_anothers_guest_does_not_block_its_reports() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let other = site.new_node("two", 8, 8192, 100).await;
        let lost = Id::new();
        site.saw_unclaimed(other, vec![guest(&site, lost, "lost")]).await;
        site.saw_unclaimed(site.node, vec![guest(&site, lost, "lost"), guest(&site, Id::new(), "second")]).await;
        assert_eq!(rows(&site).await.len(), 2);
        // once the first one no longer names it, the second one's word counts
        site.saw_unclaimed(other, vec![]).await;
        site.saw_unclaimed(site.node, vec![guest(&site, lost, "lost")]).await;
        assert_eq!(rows(&site).await.iter().map(|row| row.node_id).collect::<Vec<_>>(), [site.node]);
    }
}

#[tokio::test]
async fn an_adopted_guest_is_an_instance_again() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let lost = Id::new();
        site.saw_unclaimed(site.node, vec![guest(&site, lost, "lost")]).await;
        let path = format!("unclaimedguest/{}", rows(&site).await[0].id);
        site.member("PATCH", &path, json!({"adopt": true})).await.problem(404);
        let told = site.operator("PATCH", &path, json!({"adopt": true})).await.good();
        assert_eq!(told["adopt"], true);
        assert!(rows(&site).await.is_empty());

        let row = site.instance(lost).await;
        assert_eq!((row.name.as_str(), row.project_id), ("lost", site.actors.project));
        assert_eq!((row.power, row.status, row.node_id), (Power::Running, S::Running, Some(site.node)));
        assert_eq!(row.generation.get(), 6, "above the guest's own, so that the node follows");
        assert_eq!((site.used().await, site.claims().await), ([1, 2, 512], 1));
        let told = site.assignment(site.node, "").await;
        assert_eq!((told.manifest[0].id, told.instances[0].id, told.tombstones.len()), (lost, lost, 0));
        site.saw_unclaimed(site.node, vec![guest(&site, lost, "lost")]).await;
        assert!(rows(&site).await.is_empty(), "an old report makes it unclaimed again");

        site.member("DELETE", &format!("instance/{lost}"), Value::Null).await.good();
        assert_eq!(site.used().await, [0, 0, 0]);
    }
}

#[tokio::test]
async fn an_adoption_that_can_not_be_is_refused_as_a_whole() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.running("lost").await;
        let lost = Id::new();
        site.saw_unclaimed(site.node, vec![guest(&site, lost, "lost")]).await;
        let path = format!("unclaimedguest/{}", rows(&site).await[0].id);
        site.operator("PATCH", &path, json!({"adopt": true})).await.problem(409);
        assert_eq!((rows(&site).await.len(), rows(&site).await[0].adopt), (1, false));
        assert_eq!((site.exists(lost).await, site.used().await, site.claims().await), (false, [1, 1, 256], 1));
    }
}

#[tokio::test]
async fn a_guest_is_destroyed_by_an_explicit_word_only_and_that_wakes_its_node() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let lost = Id::new();
        site.saw_unclaimed(site.node, vec![guest(&site, lost, "lost")]).await;
        let path = format!("unclaimedguest/{}", rows(&site).await[0].id);
        site.member("DELETE", &path, Value::Null).await.problem(404);
        let since = site.assignment(site.node, "").await.revision;
        let node = site.actors.node_of(site.node);
        let poll = format!("nodeassignment/{}?since={since}&wait_ms=30000", site.node);
        let (told, deleted) =
            join(site.call(&node, "GET", &poll, Value::Null), site.operator("DELETE", &path, Value::Null)).await;
        assert_eq!(deleted.status, 202, "{}", deleted.text);
        let told = told.good();
        assert_eq!((&told["tombstones"][0]["id"], &told["tombstones"][0]["generation"]), (&json!(lost), &json!(6)));
        assert_eq!(id(&told["tombstones"][0]), lost.to_string());

        let problem = site.operator("PATCH", &path, json!({"adopt": true})).await.problem(409);
        assert!(problem.detail.contains("destroyed"), "{}", problem.detail);
        let gone = vec![GoneInstance { id: lost, generation: Generation::new(6) }];
        site.report(site.node, NodeReport { gone, ..site.saw() }).await;
        assert!(rows(&site).await.is_empty() && site.assignment(site.node, "").await.tombstones.is_empty());
    }
}
