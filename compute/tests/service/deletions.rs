//! Deleting wins in any state, and only the node that holds a guest ends its claim.

use super::site::{Site, build, put, seen};
use cirro_models::{
    Generation, Id,
    compute::{
        Instance,
        instance::InstanceStatus as S,
        report::{GoneInstance, NodeReport},
    },
    storage::{Attachment, Volume},
};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};

fn gone(id: Id<Instance>, generation: i64) -> Vec<GoneInstance> {
    vec![GoneInstance { id, generation: Generation::new(generation) }]
}

#[tokio::test]
async fn an_instance_is_deleted_in_any_state() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        for state in [S::Pending, S::Building, S::Starting, S::Running, S::Stopped, S::Failed] {
            let id = site.launch(&format!("i-{state}")).await;
            if state == S::Failed {
                // one that never came up would go elsewhere
                site.saw_as(id, 1, S::Running).await;
            }
            site.saw_as(id, 1, state.clone()).await;
            assert_eq!(site.instance(id).await.status, state);
            let path = format!("instance/{id}");
            let told = site.member("DELETE", &path, Value::Null).await;
            assert_eq!((told.status, told.json()["status"].as_str()), (202, Some("deleting")));
            assert_eq!(site.used().await, [0, 0, 0], "its quota is free at once");
            assert_eq!(site.member("DELETE", &path, Value::Null).await.status, 202, "twice is once");
            for wish in [json!({"power": "running"}), json!({"name": "other"})] {
                let problem = site.member("PATCH", &path, wish).await.problem(409);
                assert!(problem.detail.contains("being deleted"), "{}", problem.detail);
            }
            site.saw_as(id, 2, S::Running).await;
            assert_eq!(site.instance(id).await.status, S::Deleting, "a report undid a deletion");
            site.report(site.node, NodeReport { gone: gone(id, 2), ..site.saw() }).await;
            site.member("GET", &path, Value::Null).await.problem(404);
            site.member("DELETE", &path, Value::Null).await.problem(404);
        }
        assert_eq!((site.used().await, site.claims().await), ([0, 0, 0], 0));
    }
}

#[tokio::test]
async fn the_claim_and_the_tombstone_stay_until_the_right_node_confirms_the_right_generation() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.running("web1").await;
        let other = site.new_node("two", 8, 8192, 100).await;
        // confirming what nobody has asked for destroys nothing
        site.report(site.node, NodeReport { gone: gone(id, 9), ..site.saw() }).await;
        assert_eq!((site.exists(id).await, site.claims().await), (true, 1));

        site.member("DELETE", &format!("instance/{id}"), Value::Null).await.good();
        for _ in 0..2 {
            let told = site.assignment(site.node, "").await;
            assert!(told.manifest.is_empty());
            assert_eq!(told.tombstones.iter().map(|t| (t.id, t.generation.get())).collect::<Vec<_>>(), [(id, 2)]);
            assert_eq!(told.tombstones[0].epoch, told.epoch);
        }
        assert!(site.assignment(other, "").await.tombstones.is_empty());
        site.report(other, NodeReport { gone: gone(id, 2), ..site.saw() }).await;
        site.report(site.node, NodeReport { gone: gone(id, 1), ..site.saw() }).await;
        site.report(site.node, NodeReport { instances: vec![seen(id, 1, S::Stopped)], ..site.saw() }).await;
        assert_eq!((site.exists(id).await, site.claims().await), (true, 1), "a claim ended without its node's word");
        let whole = site.flavor("whole", 8, 8192, 10).await;
        let wish = json!({"name": "whole", "flavor_id": whole, "image_id": site.image});
        site.operator("PATCH", &format!("node/{other}"), json!({"mode": "drain"})).await.good();
        let problem = site.member("POST", "instance", wish.clone()).await.problem(409);
        assert_eq!(problem.kind_of_problem, "urn:cirro:problem:no-capacity", "the room was given away too early");

        site.report(site.node, NodeReport { gone: gone(id, 2), ..site.saw() }).await;
        assert_eq!((site.exists(id).await, site.claims().await), (false, 0));
        assert_eq!(site.count("SELECT count(*) AS n FROM launch").await, 0);
        assert!(site.assignment(site.node, "").await.tombstones.is_empty());
        site.member("POST", "instance", wish).await.good();
    }
}

#[tokio::test]
async fn the_volumes_of_an_instance_that_goes_are_let_go() {
    let site = Site::new(Backend::Sqlite).await;
    let id = site.running("web1").await;
    let volume: Volume = build(site.actors.project, json!({"name": "data", "size_gib": 1}));
    let attachment: Attachment = build(site.actors.project, json!({"volume_id": volume.id, "instance_id": id}));
    put(&site.storage, volume).await;
    put(&site.storage, attachment.clone()).await;
    site.member("DELETE", &format!("instance/{id}"), Value::Null).await.good();
    let left = cirro_models::Verbs::get_many(&site.storage.own_context(), &[attachment.id]).await;
    assert_eq!(left.unwrap(), Vec::<Attachment>::new());
}

#[tokio::test]
async fn a_protected_instance_stays_with_its_volumes_until_that_is_lifted() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let mut wish = site.wish("web1");
        wish["protected"] = true.into();
        let told = site.member("POST", "instance", wish).await.good();
        let path = format!("instance/{}", super::site::id(&told));
        let volume: Volume = build(site.actors.project, json!({"name": "data", "size_gib": 1}));
        let attached = json!({"volume_id": volume.id, "instance_id": told["id"]});
        let attachment: Attachment = build(site.actors.project, attached);
        put(&site.storage, volume).await;
        put(&site.storage, attachment.clone()).await;
        let problem = site.member("DELETE", &path, Value::Null).await.problem(409);
        assert!(problem.detail.contains("web1") && problem.detail.contains("--no-protect"), "{}", problem.detail);
        assert_eq!(site.member("GET", &path, Value::Null).await.good()["protected"], true);
        let left = cirro_models::Verbs::get_many(&site.storage.own_context(), &[attachment.id]).await;
        assert_eq!(left.unwrap(), [attachment], "its volume was taken away");

        let lifted = site.member("PATCH", &path, json!({"protected": false})).await.good();
        assert_eq!(
            (&lifted["protected"], &lifted["generation"]),
            (&false.into(), &1.into()),
            "it is no wish of the node's"
        );
        assert_eq!(site.member("DELETE", &path, Value::Null).await.status, 202);
        // one that goes already is not kept by anything
        assert_eq!(site.member("DELETE", &path, Value::Null).await.status, 202);
    }
}
