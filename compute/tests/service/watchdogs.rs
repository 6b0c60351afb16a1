//! Nodes whose watchdog stops their guests: they are taken over from by waiting, and get no leases meanwhile.

use super::site::Site;
use cirro_compute::fence::{Patience, Takeover};
use cirro_models::{
    Id,
    compute::{
        Node,
        instance::InstanceStatus as S,
        node::NodeStatus,
        report::{NodeReport, NodeSeen},
    },
};
use cirro_server::testkit::{Actor, Backend, Told};
use serde_json::Value;
use std::time::Duration;

/// Nothing can switch machines off here; a node may be silent for 2 s.
async fn site(backend: Backend) -> Site {
    Site::with(backend, Takeover { fence: None, patience: Patience::of(Duration::from_secs(2)) }).await
}

impl Site {
    async fn lease(&self, by: &Actor, node: Id<Node>, query: &str) -> Told {
        self.call(by, "GET", &format!("nodelease/{node}{query}"), Value::Null).await
    }
    /// A report of a node with a watchdog, or without one.
    fn watched(&self, watchdog_s: Option<i64>) -> NodeReport {
        let saw = self.saw();
        NodeReport { node: NodeSeen { watchdog_s, ..saw.node.clone() }, ..saw }
    }
}

#[tokio::test]
async fn a_lease_is_for_a_node_of_its_own_and_for_no_longer_than_it_has_told() {
    for backend in Backend::BOTH {
        let site = site(backend).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let agent = site.actors.node_of(two);
        for actor in [site.actors.node_of(site.node), site.actors.operator(), site.actors.member()] {
            assert_eq!(site.lease(&actor, two, "?watchdog_s=30").await.status, 404, "somebody else's");
        }
        for (query, status) in [("", 422), ("?watchdog_s=x", 422), ("?watchdog_s=30&more=1", 422)] {
            assert_eq!(site.lease(&agent, two, query).await.status, status, "{query}");
        }
        let told = site.lease(&agent, two, "?watchdog_s=30").await;
        assert_eq!((told.status, told.text.contains("has to report that first")), (409, true), "{}", told.text);
        site.report(two, site.watched(Some(30))).await;
        for (asked, status) in [(30, 204), (1, 204), (31, 409), (0, 409), (-1, 409)] {
            assert_eq!(site.lease(&agent, two, &format!("?watchdog_s={asked}")).await.status, status, "{asked} s");
        }
        for odd in [None, Some(0), Some(601), Some(-5)] {
            site.report(two, site.watched(odd)).await;
            assert_eq!(site.lease(&agent, two, "?watchdog_s=30").await.status, 409, "{odd:?} is no watchdog");
        }
    }
}

#[tokio::test]
async fn what_ran_on_a_lost_node_goes_elsewhere_once_its_watchdog_has_stopped_it() {
    for backend in Backend::BOTH {
        let site = site(backend).await;
        let two = site.new_node("two", 8, 8192, 100).await;
        let moves = site.runs_on(two, "moves", "recreate").await;
        site.report(two, site.watched(Some(1))).await;
        let (agent, alive) = (site.actors.node_of(two), [site.node]);
        let _tended = site.tended();

        site.becomes(&alive, two, NodeStatus::Fencing).await;
        let told = site.lease(&agent, two, "?watchdog_s=1").await;
        assert_eq!((told.status, told.text.contains("have to be stopped")), (503, true), "{}", told.text);
        assert_eq!(site.instance(moves).await.node_id, Some(two), "nothing moves before that");
        site.becomes(&alive, two, NodeStatus::Fenced).await;
        let row = site
            .until(&alive, "it has a node", async || {
                Some(site.instance(moves).await).filter(|row| row.node_id.is_some())
            })
            .await;
        assert_eq!((row.node_id, row.status), (Some(site.node), S::Pending));
        assert_eq!(site.lease(&agent, two, "?watchdog_s=1").await.status, 204, "it may begin anew");
        let told = site.assignment(two, "").await;
        assert_eq!(told.tombstones.iter().map(|stone| stone.id).collect::<Vec<_>>(), [moves]);
        site.report(two, site.watched(Some(1))).await;
        assert_eq!(site.node_is(two).await, NodeStatus::Ready);
    }
}
