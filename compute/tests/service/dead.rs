//! Deleting while the node is dead: the instance waits for its node as `deleting`, and when the node is back its domain goes and its
//! room is given back once.

use super::{
    orphans,
    site::{Site, seen},
};
use cirro_compute::fence::{Patience, Takeover};
use cirro_models::{
    Id,
    compute::{Instance, Node, instance::InstanceStatus as S, node::NodeStatus, report::NodeReport},
};
use cirro_server::testkit::{Backend, eventually};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};

/// The states of an instance that has come up there, as its agent reports them.
const OF_GUESTS: [S; 6] = [S::Running, S::Starting, S::Stopping, S::Stopped, S::Rebooting, S::Failed];

impl Site {
    /// The last that a node told of an instance before its agent died.
    async fn told_last(&self, node: Id<Node>, id: Id<Instance>, status: S) {
        let generation = self.instance(id).await.generation.get();
        self.report(node, NodeReport { instances: vec![seen(id, generation, status)], ..self.saw() }).await;
    }
    /// An instance that its node will never hear of.
    async fn launch_unheard(&self, node: Id<Node>, name: &str) -> Id<Instance> {
        // nobody has noticed yet that its agent is dead
        self.report(node, self.saw()).await;
        let id = self.launch(name).await;
        assert_eq!(self.instance(id).await.node_id, Some(node));
        id
    }
    /// One instance in each state, on a node whose agent is dead.
    async fn in_every_state(&self, node: Id<Node>, guests: &[Id<Instance>]) -> Vec<(Id<Instance>, S)> {
        let (pending, building, waiting) = (
            self.launch_unheard(node, "pending").await,
            self.launch_unheard(node, "building").await,
            self.launch_unheard(node, "waiting").await,
        );
        self.told_last(node, building, S::Building).await;
        for (id, state) in guests.iter().zip(OF_GUESTS) {
            self.told_last(node, *id, state).await;
        }
        // it is to go elsewhere, and can't before its node has confirmed
        self.turn(self.node, "active").await;
        self.could_not(waiting, "the disk is full").await;
        assert_eq!(self.waits(waiting).await.leaving_node_id, Some(node));
        let rest = [(pending, S::Pending), (building, S::Building), (waiting, S::Pending)];
        guests.iter().copied().zip(OF_GUESTS).chain(rest).collect()
    }
}

#[tokio::test]
async fn what_is_deleted_in_any_state_while_its_node_is_dead_goes_once_when_it_is_back() {
    for backend in Backend::BOTH {
        let patience = Patience::of(Duration::from_secs(5));
        let site = Site::with(backend, Takeover { fence: None, patience }).await;
        let two = site.new_node("two", 16, 16384, 200).await;
        let _tended = site.tended();
        site.turn(site.node, "drain").await;
        let mut machine = site.machine(two).await;
        machine.begin();
        let mut guests = Vec::new();
        for state in &OF_GUESTS {
            guests.push(site.launch(&format!("was-{state}")).await);
        }
        for id in &guests {
            site.comes_to(*id, S::Running).await;
        }
        machine.kill_agent();

        let all = site.in_every_state(two, &guests).await;
        for (id, state) in &all {
            assert_eq!(site.instance(*id).await.status, *state);
        }
        assert_eq!((site.used().await[0], site.claimed_on(two).await), (9, 9));
        for (id, _) in &all {
            let told = site.member("DELETE", &format!("instance/{id}"), Value::Null).await;
            assert_eq!((told.status, told.json()["status"].as_str()), (202, Some("deleting")));
        }
        site.becomes(&[site.node], two, NodeStatus::Silent).await;
        for (id, _) in &all {
            assert_eq!(
                site.member("DELETE", &format!("instance/{id}"), Value::Null).await.status,
                202,
                "twice is once"
            );
            assert_eq!(site.instance(*id).await.status, S::Deleting);
        }
        assert_eq!((site.used().await, site.claimed_on(two).await), ([0, 0, 0], 9), "the room is not free yet");
        assert_eq!(machine.simulated.look().guests.len(), guests.len());

        machine.begin();
        eventually("all of them are gone", async || {
            (site.count("SELECT count(*) AS n FROM instance").await == 0).then_some(())
        })
        .await;
        let counts = machine.simulated.counts();
        assert_eq!((counts.built, counts.removed, machine.simulated.look().guests.len()), (6, 6, 0));
        assert_eq!((site.used().await, site.claims().await), ([0, 0, 0], 0));
        for table in ["SELECT count(*) AS n FROM tombstone", "SELECT count(*) AS n FROM launch"] {
            assert_eq!(site.count(table).await, 0, "{table}");
        }
        assert_eq!(site.node_is(two).await, NodeStatus::Ready);
        eventually("the audit finds nothing", async || {
            site.report(site.node, site.saw()).await;
            (orphans::found(&site).await == BTreeSet::new()).then_some(())
        })
        .await;
    }
}
