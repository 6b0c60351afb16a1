//! A simulated machine that outlives its process: killed at any moment, and started again with what its ledger says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    Generation, GiB, Vcpus,
    compute::{
        assignment::InstanceSpec,
        instance::{InstanceStatus, Power},
    },
    storage::assignment::VolumeSpec,
};
use cirro_node_agent_core::{
    agent::{Agent, Settings},
    desk::Desk,
    guest::Mark,
    hypervisor::{Hypervisor, Observed},
    simulated::{Counts, Knobs, Ledger, Simulated},
};
use kit::{id, spec};
use proptest::{prelude::*, sample::Index};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);

/// What an agent, a guest or a fence does: a kind, and with which guest and volume.
type Step = (u8, u128, u128);

async fn perform(machine: &Simulated, (kind, guest, volume): Step) {
    let (id, wish) = (id(guest), spec(id(guest), 1, Power::Running));
    let mark = Mark::of(&wish);
    // what is refused changes nothing
    let _ = match kind {
        0..3 => machine.build(&wish, &mark).await,
        3 | 4 => machine.start(id).await,
        5 => machine.note(&mark.having_done(Some(kit::id(volume)))).await,
        6 => machine.shutdown(id).await,
        7 => machine.kill(id).await,
        8 => machine.remove(id).await,
        9 => {
            let wish = InstanceSpec { vcpus: Vcpus::new(2), ..wish };
            machine.resize(&wish, &Mark::of(&wish)).await
        }
        10 => {
            let wish = InstanceSpec { root_generation: Generation::new(2), ..wish };
            machine.rebuild(&wish, &Mark::of(&wish)).await
        }
        11 | 12 => machine.make_volume(&VolumeSpec { id: kit::id(volume), size_gib: GiB::new(1) }).await,
        13 => machine.attach(id, kit::id(volume)).await,
        14 => machine.detach(id, kit::id(volume)).await,
        15 => machine.remove_volume(kit::id(volume)).await,
        16 => machine.power_off_inside(id).await,
        _ => machine.lose().await,
    };
}

fn open(path: &Path, knobs: Knobs) -> (Ledger, Arc<Simulated>) {
    let ledger = Ledger::open(path).unwrap();
    let book = ledger.book("node-0001".parse().unwrap());
    (ledger, Arc::new(Simulated::new(knobs).recorded(Some(book))))
}
fn seen(machine: &Simulated) -> (Observed, bool, Counts) {
    (machine.look(), machine.is_lost(), machine.counts())
}

/// Stops where a guest is there twice: built, and not removed or lost before it is built again.
fn nothing_is_there_twice(path: &Path) {
    let mut there: BTreeMap<String, bool> = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let is = there.entry(words[2].to_owned()).or_default();
        match words[3] {
            "built" => assert!(!std::mem::replace(is, true), "twice: {line}"),
            "removed" | "lost" => *is = false,
            _ => {}
        }
    }
}

/// All steps, killed with the file cut off somewhere; and all steps again, as by somebody who does not know how far they got.
async fn live_twice(steps: &[Step], cut: Index) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let (ledger, machine) = open(&path, Knobs::default());
    let mut before = vec![(0, seen(&machine))];
    for step in steps {
        perform(&machine, *step).await;
        before.push((fs::metadata(&path).unwrap().len(), seen(&machine)));
    }
    drop(machine);
    ledger.end().await;
    let bytes = fs::read(&path).unwrap();
    let cut = cut.index(bytes.len() + 1);
    fs::write(&path, &bytes[..cut]).unwrap();

    let (ledger, machine) = open(&path, Knobs::default());
    let answered = before.iter().rev().find(|(length, _)| *length <= cut as u64).unwrap();
    let now = seen(&machine);
    if now.1 && !answered.1.1 {
        assert_eq!((now.0.guests.len(), &now.0.volumes), (0, &answered.1.0.volumes), "a machine is lost whole");
    } else {
        assert_eq!(now, answered.1);
    }
    for step in steps {
        perform(&machine, *step).await;
    }
    let then = seen(&machine);
    drop(machine);
    ledger.end().await;
    nothing_is_there_twice(&path);
    assert_eq!(seen(&open(&path, Knobs::default()).1), then);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_machine_starts_with_what_was_answered_wherever_it_was_cut_off(
        steps in prop::collection::vec((0_u8..18, 1_u128..4, 11_u128..13), 1..40),
        cut in any::<Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_twice(&steps, cut));
    }
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let poll = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, poll).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test]
async fn agent_and_machine_are_killed_again_and_again_and_each_guest_is_made_and_removed_once() {
    const GUESTS: u128 = 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let desk = Arc::new(Desk::new(None));
    let mut chance = fastrand::Rng::with_seed(7);
    let lines = || fs::read_to_string(&path).unwrap().lines().count();
    for goal in ["they run", "they are gone"] {
        for n in 1..=GUESTS {
            if goal == "they run" {
                desk.order(spec(id(100 + n), 1, Power::Running));
            } else {
                desk.bury(id(100 + n));
            }
        }
        let done = |limit| {
            desk.wait(goal, limit, |papers| {
                let running = papers.seen.values().filter(|seen| seen.status == InstanceStatus::Running).count();
                let done = if goal == "they run" { running == 20 } else { papers.tombstones.is_empty() };
                done.then_some(())
            })
        };
        while done(Duration::ZERO).await.is_err() {
            let knobs = Knobs { boot: [Duration::ZERO, Duration::from_millis(2)], ..Knobs::default() };
            let (ledger, machine) = open(&path, knobs);
            let settings = Settings { heartbeat: Duration::from_millis(100), ..Settings::default() };
            let agent = Agent::new(desk.clone(), machine, settings).run(std::future::pending());
            let agent = tokio::spawn(agent);
            let enough = lines() + chance.usize(1..9);
            tokio::select! {
                done = done(LIMIT) => done.unwrap(),
                () = until("more is done", || lines() >= enough) => {}
            }
            agent.abort();
            // it may have ended by itself only if it broke
            assert!(agent.await.unwrap_err().is_cancelled());
            ledger.end().await;
        }
    }
    let (_ledger, machine) = open(&path, Knobs::default());
    let counts = Counts { built: 20, started: 20, removed: 20, ..Counts::default() };
    assert_eq!((machine.look(), machine.counts()), (Observed::default(), counts));
    nothing_is_there_twice(&path);
}
