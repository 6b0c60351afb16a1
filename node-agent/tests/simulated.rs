//! The simulated machine itself: what its knobs and faults do, and what its ledger says of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    Generation,
    compute::{Instance, assignment::InstanceSpec, instance::Power},
};
use cirro_node_agent_core::{
    guest::Mark,
    hypervisor::Hypervisor,
    simulated::{Due, Fault, Knobs, Ledger, Simulated},
};
use kit::{id, spec};
use std::{path::Path, time::Duration};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

async fn build(machine: &Simulated, n: u128) -> Result<(), String> {
    let spec = spec(id(n), 1, Power::Running);
    let mark = Mark::of(&spec);
    machine.build(&spec, &mark).await.map_err(|failure| failure.to_string())
}
fn failing(faults: &[(Fault, u32)]) -> Simulated {
    let due = |(fault, seconds): &(Fault, u32)| Due { fault: *fault, from: SECOND * *seconds };
    Simulated::new(Knobs::default()).failing(Instant::now(), faults.iter().map(due).collect())
}
/// `INSTANCE WHAT` of each line.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split(' ').skip(2).take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_hangs_is_seen_and_does_nothing() {
    let machine = failing(&[(Fault::Hang, 30)]);
    build(&machine, 1).await.unwrap();
    tokio::time::advance(SECOND * 30).await;
    assert!(timeout(SECOND * 3600, machine.start(id(1))).await.is_err());
    assert!(timeout(SECOND * 3600, machine.remove(id(1))).await.is_err());
    assert_eq!(machine.observe().await.unwrap().guests.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_and_booting_take_their_time() {
    let machine = failing(&[(Fault::Slow(SECOND * 2), 0)]);
    let began = Instant::now();
    build(&machine, 1).await.unwrap();
    assert_eq!(began.elapsed(), SECOND * 2);

    let knobs = Knobs { boot: [SECOND, SECOND * 3], seed: 7, ..Knobs::default() };
    let boots = async || {
        let machine = Simulated::new(knobs);
        let mut times = Vec::new();
        for n in 1..=20 {
            build(&machine, n).await.unwrap();
            let began = Instant::now();
            machine.start(id(n)).await.unwrap();
            times.push(began.elapsed());
        }
        times
    };
    let times = boots().await;
    assert!(times.iter().all(|time| (SECOND..=SECOND * 3 + SECOND / 100).contains(time)), "{times:?}");
    assert!(times.iter().any(|time| *time != times[0]));
    assert_eq!(boots().await, times, "the same seed, the same times");
}

#[tokio::test]
async fn the_ledger_tells_each_effect_once_and_what_a_crash_took() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = Ledger::open(&path).unwrap();
    let book = || Some(ledger.book("node-0001".parse().unwrap()));
    let machine = Simulated::new(Knobs::default()).recorded(book());
    for _ in 0..2 {
        build(&machine, 1).await.unwrap();
        machine.start(id(1)).await.unwrap();
        build(&machine, 2).await.unwrap();
        machine.remove(id(3)).await.unwrap();
    }
    machine.remove(id(2)).await.unwrap();
    let wish = InstanceSpec { root_generation: Generation::new(2), ..spec(id(1), 2, Power::Running) };
    for _ in 0..2 {
        machine.rebuild(&wish, &Mark::of(&wish)).await.unwrap();
    }
    machine.lose().await.unwrap();
    assert!(build(&machine, 4).await.unwrap_err().contains("crashed"));
    let refusing = failing(&[(Fault::Refuse, 0)]).recorded(book());
    assert!(build(&refusing, 5).await.unwrap_err().contains("refuses"));
    ledger.end().await;
    assert!(build(&refusing, 5).await.unwrap_err().contains("ledger"));
    let of = |n| if n == 0 { "-".to_owned() } else { id::<Instance>(n).to_string() };
    let did = [(1, "built"), (1, "started"), (2, "built"), (2, "removed"), (1, "rebuilt")];
    let expected = did.into_iter().chain([(0, "lost"), (1, "lost"), (5, "refused")]);
    assert_eq!(lines(&path), expected.map(|(n, what)| format!("{} {what}", of(n))).collect::<Vec<_>>());
}
