//! Instances whose node could not launch them: each is tried elsewhere, and never in two places.

use super::site::{Site, build, id, put, seen};
use cirro_models::{
    Generation, Id, Verbs,
    compute::{
        Instance, Node,
        instance::InstanceStatus as S,
        report::{GoneInstance, NodeReport},
    },
    storage::{Attachment, Volume},
};
use cirro_server::testkit::{Backend, eventually};
use serde_json::{Value, json};

impl Site {
    /// Its node reports that it could not launch it.
    pub(super) async fn could_not(&self, id: Id<Instance>, why: &str) -> Instance {
        let row = self.instance(id).await;
        let mut failed = seen(id, row.generation.get(), S::Failed);
        failed.reason = Some(why.to_owned());
        self.report(row.node_id.unwrap(), NodeReport { instances: vec![failed], ..self.saw() }).await;
        row
    }
    pub(super) async fn confirms_gone(&self, node: Id<Node>, id: Id<Instance>, generation: Generation) {
        self.report(node, NodeReport { gone: vec![GoneInstance { id, generation }], ..self.saw() }).await;
    }
    /// The row once it waits for its node.
    pub(super) async fn waits(&self, id: Id<Instance>) -> Instance {
        eventually("it waits", async || Some(self.instance(id).await).filter(|row| row.node_id.is_none())).await
    }
    pub(super) async fn comes_to(&self, id: Id<Instance>, status: S) -> Instance {
        eventually("its status", async || Some(self.instance(id).await).filter(|row| row.status == status)).await
    }
    /// It could not be launched, its node has nothing of it, and it is on the next one.
    async fn moves_on(&self, id: Id<Instance>, why: &str) -> Instance {
        let before = self.could_not(id, why).await;
        let waiting = self.waits(id).await;
        self.confirms_gone(before.node_id.unwrap(), id, waiting.generation).await;
        eventually("it has a node", async || Some(self.instance(id).await).filter(|row| row.node_id.is_some())).await
    }
    pub(super) async fn claimed_on(&self, node: Id<Node>) -> usize {
        use cirro_models::sql::{Column, types::Guid};
        use diesel::RunQueryDsl;
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let query = "SELECT count(*) AS n FROM claim WHERE node_id = $1";
        let read =
            move |c: &mut _| Ok(diesel::sql_query(query).bind::<Guid, _>(node.store()).get_result::<Row>(c).unwrap().n);
        usize::try_from(self.databases[0].database.read(read).await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_launch_that_fails_is_tried_on_another_node_once_the_first_has_nothing_of_it() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let _tended = site.tended();
        let mut wish = site.wish("web1");
        wish["user_data"] = "s".into();
        let web: Id<Instance> = id(&site.member("POST", "instance", wish).await.good()).parse().unwrap();
        let first = site.could_not(web, "the disk is full").await.node_id.unwrap();
        let other = if first == two { site.node } else { two };

        let waiting = site.waits(web).await;
        assert_eq!((waiting.leaving_node_id, &waiting.status, waiting.generation.get()), (Some(first), &S::Pending, 2));
        let name = Node::get(&site.compute.own_context(), first).await.unwrap().name;
        assert!(waiting.status_reason.unwrap().contains(&format!("waits for node {name}")));
        assert_eq!((site.claimed_on(first).await, site.claimed_on(other).await), (1, 0));
        let told = site.assignment(first, "").await;
        assert!(told.manifest.is_empty() && told.tombstones[0].id == web && told.tombstones[0].generation.get() == 2);
        assert!(site.assignment(other, "").await.manifest.is_empty(), "never two copies");

        // a node that was not asked, and an order that is not this one, confirm nothing
        site.confirms_gone(other, web, Generation::new(2)).await;
        site.confirms_gone(first, web, Generation::new(1)).await;
        assert_eq!(site.claimed_on(first).await, 1);
        site.confirms_gone(first, web, Generation::new(2)).await;
        let settled =
            eventually("it has a node", async || Some(site.instance(web).await).filter(|row| row.node_id.is_some()))
                .await;
        assert_eq!((settled.node_id, settled.leaving_node_id, &settled.status), (Some(other), None, &S::Pending));
        assert_eq!((site.claimed_on(first).await, site.claimed_on(other).await), (0, 1));
        let placement = settled.placement.unwrap();
        assert_eq!((placement.tried[0].node_id, placement.tried[0].reason.as_str()), (first, "the disk is full"));
        assert!(placement.refused.contains_key("was tried before"), "{placement:?}");
        let told = site.assignment(other, "").await;
        let spec = &told.instances[0];
        assert_eq!((spec.id, spec.generation.get(), spec.user_data.as_ref().unwrap().expose()), (web, 2, "s"));
        assert!(site.assignment(first, "").await.tombstones.is_empty());

        let say = |report: NodeReport| NodeReport { instances: vec![seen(web, 2, S::Running)], ..report };
        site.report(other, say(site.saw())).await;
        let row = site.instance(web).await;
        assert_eq!((row.status, row.ran_at.is_some()), (S::Running, true));
        site.member("DELETE", &format!("instance/{web}"), Value::Null).await.good();
        site.confirms_gone(other, web, Generation::new(3)).await;
        assert_eq!((site.exists(web).await, site.claims().await, site.used().await), (false, 0, [0, 0, 0]));
        assert_eq!(site.count("SELECT count(*) AS n FROM launch").await, 0);
    }
}

#[tokio::test]
async fn three_nodes_are_tried_and_then_it_has_failed() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        for name in ["two", "three", "four"] {
            site.new_node(name, 8, 8192, 100).await;
        }
        let _tended = site.tended();
        let web = site.launch("web1").await;
        let mut nodes = vec![site.instance(web).await.node_id];
        for why in ["one", "two"] {
            nodes.push(site.moves_on(web, why).await.node_id);
        }
        nodes.sort();
        nodes.dedup();
        assert_eq!(nodes.len(), 3, "each on another node");
        site.could_not(web, "three").await;
        let row = site.comes_to(web, S::Failed).await;
        assert_eq!(row.status_reason.unwrap(), "three (the last of 3 nodes that were tried)");
        assert!(row.node_id.is_some() && row.leaving_node_id.is_none());
        let tried = row.placement.unwrap().tried;
        assert_eq!(tried.iter().map(|tried| tried.reason.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
    }
}

#[tokio::test]
async fn what_has_run_or_has_a_volume_or_has_nowhere_to_go_stays_and_says_why() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let _tended = site.tended();
        let alone = site.launch("alone").await;
        site.could_not(alone, "no network").await;
        let reason = site.comes_to(alone, S::Failed).await.status_reason.unwrap();
        assert!(
            reason.starts_with("no network; no other node can take it (") && reason.contains("was tried before"),
            "{reason}"
        );

        site.new_node("two", 8, 8192, 100).await;
        let ran = site.launch("ran").await;
        let node = site.instance(ran).await.node_id.unwrap();
        let say = |state| NodeReport { instances: vec![seen(ran, 1, state)], ..site.saw() };
        site.report(node, say(S::Running)).await;
        site.report(node, say(S::Failed)).await;
        let row = site.instance(ran).await;
        assert_eq!((row.status, row.node_id, row.placement.unwrap().tried), (S::Failed, Some(node), vec![]));

        let held = site.launch("held").await;
        let volume: Volume = build(site.actors.project, json!({"name": "v", "size_gib": 1}));
        let attached = json!({"volume_id": volume.id, "instance_id": held});
        put(&site.storage, volume).await;
        put::<Attachment>(&site.storage, build(site.actors.project, attached)).await;
        site.could_not(held, "no room").await;
        let row = site.comes_to(held, S::Failed).await;
        assert_eq!(row.status_reason.unwrap(), "no room; a volume is attached to it there");
        assert!(row.node_id.is_some());
    }
}

#[tokio::test]
async fn one_that_waits_can_be_deleted_and_is_gone_when_its_node_says_so() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        site.new_node("two", 8, 8192, 100).await;
        let _tended = site.tended();
        let web = site.launch("web1").await;
        let first = site.could_not(web, "no network").await.node_id.unwrap();
        site.waits(web).await;
        let path = format!("instance/{web}");
        for _ in 0..2 {
            assert_eq!(site.member("DELETE", &path, Value::Null).await.status, 202);
        }
        assert_eq!((site.used().await, site.claims().await), ([0, 0, 0], 1));
        site.confirms_gone(first, web, Generation::new(2)).await;
        assert!(site.exists(web).await, "that was an earlier order");
        site.confirms_gone(first, web, Generation::new(3)).await;
        assert_eq!((site.exists(web).await, site.claims().await), (false, 0));
        assert_eq!(site.count("SELECT count(*) AS n FROM tombstone").await, 0);
    }
}

#[tokio::test]
async fn relationships_hold_on_the_next_node_too() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let _tended = site.tended();
        site.new_node("two", 8, 8192, 100).await;
        let apart = json!([{"kind": "different_node", "groups": ["db"]}]);
        let wish = json!({"name": "x", "groups": [site.group("db", 2)], "relationships": apart});
        let plan = id(&site.member("POST", "launchplan", wish).await.good());
        let rows = site.planned(&plan).await;
        // the largest node would be the first choice, and the other's is not to be had
        let three = site.new_node("three", 4, 4096, 50).await;
        assert_eq!(site.moves_on(rows[0].id, "no network").await.node_id, Some(three));
        // which leaves only the node that the first has left
        assert_eq!(site.moves_on(rows[1].id, "no network").await.node_id, rows[0].node_id);
    }
}

#[tokio::test]
async fn a_node_on_which_launches_keep_failing_is_left_alone_until_one_comes_up() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let mut failed = Vec::new();
        for name in ["a", "b", "c"] {
            failed.push(site.launch(name).await);
        }
        let node = async || Node::get(&site.compute.own_context(), site.node).await.unwrap();
        for (n, id) in failed.iter().enumerate() {
            assert_eq!(node().await.failing.map_or(0, |failing| failing.in_a_row), i64::try_from(n).unwrap());
            site.could_not(*id, "no network").await;
            // said again, it is the same
            site.could_not(*id, "no network").await;
        }
        let failing = node().await.failing.unwrap();
        assert_eq!((failing.in_a_row, failing.pause_s, failing.until.is_some()), (3, Some(30), true));
        let problem = site.member("POST", "instance", site.wish("d")).await.problem(409);
        assert!(problem.detail.contains("keep failing"), "{}", problem.detail);
        site.saw_as(failed[0], 1, S::Running).await;
        assert_eq!(node().await.failing, None);
        site.launch("d").await;
    }
}
