//! A turn that passes by what has not changed: nothing that has is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod fused;
mod held;
#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    Id,
    compute::{
        Instance,
        instance::{InstanceStatus, Power},
    },
};
use cirro_node_agent_core::{
    agent::{Agent, Ended, Settings},
    control_plane::ControlPlane,
    desk::{Desk, Papers},
    guest::{Guest, Mark},
    hypervisor::Hypervisor,
    simulated::{Counts, Knobs, Simulated},
};
use fused::Fused;
use held::Held;
use kit::{id, spec};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};

const SOON: Duration = Duration::from_secs(20);
const GUESTS: u128 = 20;

/// A site whose guests all run, and were told to.
struct Settled {
    desk: Arc<Desk>,
    machine: Arc<Simulated>,
    fused: Arc<Fused>,
    held: Arc<Held>,
    _agent: JoinSet<Ended>,
}

async fn settled() -> Settled {
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(Knobs::default())));
    desk.with(|papers| papers.specs.extend((1..=GUESTS).map(|n| (id(n), spec(id(n), 1, Power::Running)))));
    let (fused, held) = (Arc::new(Fused::new(machine.clone(), None)), Arc::new(Held::new(desk.clone())));
    let settings = Settings { heartbeat: Duration::from_millis(500), ..Settings::default() };
    let mut agent = JoinSet::new();
    let plane: Arc<dyn ControlPlane> = held.clone();
    agent.spawn(Agent::new(plane, fused.clone(), settings).run(std::future::pending()));
    let site = Settled { desk, machine, fused, held, _agent: agent };
    site.heard("all run", |papers| (1..=GUESTS).all(|n| runs(papers, id(n), 1))).await;
    site
}

impl Settled {
    async fn heard(&self, what: &str, is: impl Fn(&Papers) -> bool) {
        self.desk.wait(what, SOON, |papers| is(papers).then_some(())).await.unwrap();
    }
    fn did(&self, more: Counts) {
        let n = usize::try_from(GUESTS).unwrap();
        assert_eq!(self.machine.counts(), Counts { built: n + more.built, started: n + more.started, ..more });
    }
}

fn runs(papers: &Papers, id: Id<Instance>, generation: i64) -> bool {
    papers
        .seen
        .get(&id)
        .is_some_and(|seen| seen.status == InstanceStatus::Running && seen.observed_generation.get() == generation)
}

#[tokio::test]
async fn an_order_that_changes_only_a_generation_is_noted_and_told() {
    let site = settled().await;
    site.desk.wish(id(7), Power::Running, false);
    site.heard("it runs by the newer wish", |papers| runs(papers, id(7), 2)).await;
    assert_eq!(site.machine.look().guests[6].mark.generation.get(), 2);
    site.did(Counts::default());
}

#[tokio::test]
async fn a_guest_that_vanishes_behind_the_agents_back_is_made_again() {
    let site = settled().await;
    site.machine.remove(id(7)).await.unwrap();
    let told = site.desk.wait("it is built", SOON, |papers| {
        papers.seen.get(&id(7)).filter(|seen| seen.status != InstanceStatus::Running).map(|seen| seen.status.clone())
    });
    assert_eq!(told.await.unwrap(), InstanceStatus::Building);
    site.heard("it runs again", |papers| runs(papers, id(7), 1)).await;
    site.did(Counts { built: 1, started: 1, removed: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_guest_that_was_settled_goes_when_its_tombstone_comes_and_no_other_does() {
    let site = settled().await;
    site.desk.bury(id(7));
    site.desk.bury(id(GUESTS));
    site.heard("both are gone", |papers| papers.tombstones.is_empty()).await;
    let left: Vec<_> = site.machine.look().guests.iter().map(Guest::id).collect();
    assert_eq!(left, (1..GUESTS).filter(|n| *n != 7).map(id).collect::<Vec<_>>());
    site.did(Counts { removed: 2, ..Counts::default() });
}

#[tokio::test]
async fn what_was_ordered_while_nothing_could_be_seen_is_done_after_that_and_all_is_told_again() {
    let site = settled().await;
    site.fused.be_blind(true);
    site.desk.wish(id(7), Power::Stopped, false);
    site.desk.order(spec(id(99), 1, Power::Running));
    site.machine.destroy(id(8)).await.unwrap();
    timeout(SOON, site.fused.looked_in_vain()).await.expect("it looks in vain");
    assert_eq!(site.machine.counts().shut_down, 0, "nothing is done without seeing");
    // the agent lives, and does not tell how its guests are
    site.desk.with(|papers| papers.seen.clear());
    timeout(SOON, site.desk.heard().changed()).await.expect("its heart beats").unwrap();
    assert_eq!(site.desk.with(|papers| papers.seen.len()), 0);
    site.fused.be_blind(false);
    site.machine.changes().notify_one();
    let stopped = |papers: &Papers| papers.seen.get(&id(7)).is_some_and(|seen| seen.status == InstanceStatus::Stopped);
    site.heard("all are told", |papers| {
        let others = (1..=GUESTS).filter(|n| *n != 7).chain([99]);
        stopped(papers) && others.map(id).all(|id| runs(papers, id, 1))
    })
    .await;
    site.did(Counts { built: 1, started: 2, shut_down: 1, ..Counts::default() });
}

#[tokio::test]
async fn what_changes_while_a_report_is_on_its_way_is_told_in_the_next_one() {
    let site = settled().await;
    site.held.hold(true);
    site.desk.wish(id(7), Power::Running, false);
    timeout(SOON, site.held.one_waits()).await.expect("a report is on its way");
    site.desk.wish(id(8), Power::Stopped, false);
    site.desk.order(spec(id(99), 1, Power::Running));
    let both = async {
        while (site.machine.counts().shut_down, site.machine.look().guests.len()) != (1, 21) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, both).await.expect("both are done");
    assert!(site.desk.with(|papers| runs(papers, id(8), 1)), "nobody has heard of it yet");
    site.held.hold(false);
    site.heard("all is told", |papers| {
        let stopped = papers.seen.get(&id(8)).is_some_and(|seen| seen.status == InstanceStatus::Stopped);
        stopped && runs(papers, id(7), 2) && runs(papers, id(99), 1)
    })
    .await;
}

#[tokio::test]
async fn a_report_that_the_agent_fails_at_is_told_again() {
    let site = settled().await;
    site.held.break_once();
    site.desk.wish(id(7), Power::Running, false);
    site.heard("it is told", |papers| runs(papers, id(7), 2)).await;
}

#[tokio::test]
async fn what_somebody_looks_at_stays_as_it_was_seen() {
    let machine = Simulated::new(Knobs::default());
    for n in [3, 1, 2] {
        let spec = spec(id(n), 1, Power::Running);
        machine.build(&spec, &Mark::of(&spec)).await.unwrap();
    }
    let before = machine.observe().await.unwrap();
    let ids: Vec<_> = before.guests.iter().map(Guest::id).collect();
    assert_eq!(ids, [id(1), id(2), id(3)], "in the order of their ids");
    machine.start(id(2)).await.unwrap();
    machine.remove(id(1)).await.unwrap();
    assert_eq!((before.guests.len(), before.guests[1].state.is_on(), before.files.len()), (3, false, 3));
    let after = machine.observe().await.unwrap();
    assert_eq!((after.guests.len(), after.guests[0].state.is_on(), after.files.len()), (2, true, 2));
}
