//! Nodes that report and do not finish what they have begun.

use super::{
    fences::{Strip, site, takeover},
    site::{Site, id, seen},
};
use cirro_compute::fence::{Patience, Takeover};
use cirro_models::{
    Id, Verbs,
    alert::Alert,
    compute::{
        Instance, Node,
        instance::InstanceStatus as S,
        launch_plan::PlanStatus,
        node::NodeStatus,
        report::{NodeReport, UnderWay},
    },
};
use cirro_server::testkit::{Backend, eventually};
use serde_json::json;
use std::time::Duration;

impl Site {
    /// What this node tells that has been at something for so long.
    fn at_work(&self, for_s: u64) -> NodeReport {
        NodeReport { under_way: Some(UnderWay { what: "building instance 7".to_owned(), for_s }), ..self.saw() }
    }
    async fn node_row(&self, node: Id<Node>) -> Node {
        Node::get(&self.compute.own_context(), node).await.unwrap()
    }
    /// Waits until a node has a status, while it goes on telling that it is stuck, and others that they are well.
    async fn stuck_until(&self, well: &[Id<Node>], stuck: Id<Node>, status: NodeStatus) {
        let by = self.actors.node_of(stuck);
        eventually("the stuck node's status", async || {
            for node in well {
                self.report(*node, self.saw()).await;
            }
            // refused while it is being fenced
            self.tell(&by, stuck, &self.at_work(400)).await;
            (self.node_is(stuck).await == status).then_some(())
        })
        .await;
    }
    async fn comes(&self, node: Id<Node>, instance: Id<Instance>, status: S) {
        self.report(node, NodeReport { instances: vec![seen(instance, 1, status)], ..self.at_work(350) }).await;
    }
}

#[tokio::test]
async fn a_node_that_does_not_finish_is_stuck_until_it_does_and_gets_nothing_new() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let web = site.launch("web1").await;
        site.report(site.node, site.at_work(299)).await;
        assert_eq!(site.node_is(site.node).await, NodeStatus::Ready, "that may take five minutes");
        let rung = Alert::NodeStuck.raised();
        site.report(site.node, site.at_work(312)).await;
        let row = site.node_row(site.node).await;
        assert_eq!((&row.status, row.stuck.as_ref().unwrap().for_s), (&NodeStatus::Stuck, 312));
        assert!(Alert::NodeStuck.raised() > rung);
        let waits = "it waits for node one, which has not finished building instance 7 for 312 s";
        assert_eq!(site.instance(web).await.status_reason.as_deref(), Some(waits));

        // nothing is written again while it stays so, and what is seen of the instance does not hide it
        site.report(site.node, site.at_work(322)).await;
        assert_eq!(site.node_row(site.node).await, row);
        site.comes(site.node, web, S::Building).await;
        let seen = site.instance(web).await;
        assert_eq!((seen.status, seen.status_reason.as_deref()), (S::Building, Some(waits)));

        let told = site.member("POST", "instance", site.wish("web2")).await;
        assert!(told.status == 409 && told.text.contains("does not finish what it has begun"), "{}", told.text);
        site.report(site.node, site.saw()).await;
        let row = site.node_row(site.node).await;
        assert_eq!((row.status, row.stuck), (NodeStatus::Ready, None));
        assert_eq!(site.instance(web).await.status_reason, None);
        site.launch("web2").await;
    }
}

#[tokio::test]
async fn a_stuck_node_is_fenced_although_it_reports_and_what_is_to_be_recreated_goes_elsewhere() {
    for backend in Backend::BOTH {
        let strip = Strip::new(true, false);
        let site = site(backend, &strip).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let moves = site.runs_on(two, "moves", "recreate").await;
        let stays = site.runs_on(two, "stays", "stay").await;
        let before = site.instance(moves).await;
        let _tended = site.tended();

        site.stuck_until(&[site.node], two, NodeStatus::Fencing).await;
        let by = site.actors.node_of(two);
        site.tell(&by, two, &site.saw()).await.problem(503);
        site.call(&by, "GET", &format!("nodeassignment/{two}"), serde_json::Value::Null).await.problem(503);
        assert_eq!(site.instance(moves).await, before, "nothing has moved before it was seen to be off");
        strip.let_go.add_permits(1);
        // what is off tells nothing any more
        site.becomes(&[site.node], two, NodeStatus::Fenced).await;
        assert_eq!((strip.ordered(), site.node_row(two).await.stuck), (vec!["two".to_owned()], None));
        let row = site
            .until(&[site.node], "it has a node", async || {
                Some(site.instance(moves).await).filter(|row| row.node_id.is_some())
            })
            .await;
        assert_eq!(row.node_id, Some(site.node));
        let reason = site.instance(stays).await.status_reason.unwrap();
        assert!(reason.contains("waits for node two, which was lost"), "{reason}");
        // it comes back, and what waited for it waits no longer
        assert_eq!(site.assignment(two, "").await.tombstones.len(), 1);
        site.report(two, site.saw()).await;
        assert_eq!((site.node_is(two).await, site.instance(stays).await.status_reason), (NodeStatus::Ready, None));
    }
}

#[tokio::test]
async fn one_that_can_not_be_seen_to_be_off_is_stuck_again_and_keeps_everything() {
    let strip = Strip::new(false, true);
    let site = site(Backend::Sqlite, &strip).await;
    let two = site.new_node("two", 8, 8192, 100).await;
    let web = site.runs_on(two, "web", "recreate").await;
    let _tended = site.tended();
    site.stuck_until(&[site.node], two, NodeStatus::Fencing).await;
    site.stuck_until(&[site.node], two, NodeStatus::Stuck).await;
    assert_eq!(site.instance(web).await.node_id, Some(two));
}

#[tokio::test]
async fn stuck_and_silent_nodes_together_are_many_and_one_that_is_well_again_is_left_alone() {
    let strip = Strip::new(true, true);
    // silent for long before it is lost: both are known to be ill by then
    let patience = Patience { lost: Duration::from_secs(8), ..Patience::of(Duration::from_secs(2)) };
    let site = Site::with(Backend::Sqlite, Takeover { patience, ..takeover(&strip) }).await;
    let (two, three) = (site.new_node("two", 8, 8192, 100).await, site.new_node("three", 8, 8192, 100).await);
    site.runs_on(two, "on-two", "recreate").await;
    site.runs_on(three, "on-three", "recreate").await;
    let rung = Alert::NodesSilentMany.raised();
    let _tended = site.tended();
    site.becomes(&[site.node, three], two, NodeStatus::Silent).await;
    site.stuck_until(&[site.node], three, NodeStatus::Stuck).await;
    eventually("two is silent, and that is too many", async || {
        site.report(site.node, site.saw()).await;
        site.report(three, site.at_work(400)).await;
        (site.node_is(two).await == NodeStatus::Silent && Alert::NodesSilentMany.raised() > rung + 3).then_some(())
    })
    .await;
    assert_eq!((strip.ordered(), site.node_is(three).await), (Vec::<String>::new(), NodeStatus::Stuck));
    site.becomes(&[site.node, three], two, NodeStatus::Fenced).await;
    assert_eq!((strip.ordered(), site.node_is(three).await), (vec!["two".to_owned()], NodeStatus::Ready));
}

#[tokio::test]
async fn a_plan_says_which_instances_wait_for_which_node_and_why() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let wish = json!({"name": "shop", "groups": [site.group("web", 2)]});
        let plan = id(&site.member("POST", "launchplan", wish).await.good());
        let _tended = site.tended();
        let waits = async || {
            let plan = site.plan(&plan).await;
            (plan.status, plan.progress.map(|progress| progress.waits).unwrap_or_default())
        };
        site.report(site.node, site.at_work(312)).await;
        let (status, told) =
            eventually("the plan says so", async || Some(waits().await).filter(|(_, told)| !told.is_empty())).await;
        assert_eq!((status, told.len()), (PlanStatus::Launching, 1));
        assert_eq!((told[0].count, told[0].names.clone()), (2, vec!["web-0001".to_owned(), "web-0002".to_owned()]));
        assert!(told[0].reason.contains("node one, which has not finished building instance 7"), "{told:?}");
        site.report(site.node, site.saw()).await;
        eventually("nothing waits", async || waits().await.1.is_empty().then_some(())).await;
    }
}
