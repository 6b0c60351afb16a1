//! Compute, simulated machines and PostgreSQL are killed while instances are launched and taken back: each is built, started
//! and removed once, and never in two places, as the machines' own ledger tells.

use crate::{
    common::{LIMIT, Typed, signal_if_there, until, within},
    kit::Many,
};
use fastrand::Rng;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

const NODES: usize = 20;
const INSTANCES: usize = 100;
/// In a launch, and in taking it back.
const DEATHS: [usize; 2] = [4, 2];
/// Who is killed; compute has two processes.
const VICTIMS: [&str; 4] = ["compute-1", "compute-2", "simulated-1", "PostgreSQL"];
/// Nobody waits longer for the next moment.
const LULL: Duration = Duration::from_secs(1);

/// A few in each run of the tests, and all fifty in long ones.
fn seeds() -> std::ops::RangeInclusive<u64> {
    1..=if std::env::var_os("CIRRO_TEST_LONG").is_some() { 50 } else { 4 }
}

#[test]
fn whatever_is_killed_in_a_launch_each_instance_is_one_guest_and_goes_when_it_is_taken_back() {
    let site = Many::simulated(NODES, &["--boot-ms=100..800"]);
    until(LIMIT, "the nodes are ready", || {
        let nodes = items(&site, &["node", "list"])?;
        (nodes.iter().filter(|node| node["status"] == "ready").count() == NODES).then_some(())
    });
    for seed in seeds() {
        eprintln!("seed {seed}");
        round(&site, seed);
    }
}

fn round(site: &Many, seed: u64) {
    let (name, count) = (format!("kills-{seed}"), INSTANCES.to_string());
    let launch = ["launch", &name, "--count", &count, "--flavor", "small", "--image", "demo"];
    during(site, seed, DEATHS[0], || answered(site, &launch, &name));
    let running = until(LIMIT, "all of them run", || {
        let all = items(site, &["instance", "list"])?;
        let running = all.iter().filter(|instance| instance["status"] == "running").count();
        (all.len() == INSTANCES && running == INSTANCES).then_some(all)
    });
    let ids: BTreeSet<String> = running.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let told = Told::read(site);
    for id in &ids {
        assert_eq!((told.built.get(id), told.started.get(id)), (Some(&1), Some(&1)), "{id} of seed {seed}");
    }
    assert_eq!(told.present, ids, "what the machines hold is what was launched, with seed {seed}");

    let undo = ["undo", &name, "--yes"];
    during(site, !seed, DEATHS[1], || answered(site, &undo, &format!("undo-{name}")));
    until(LIMIT, "all of them are gone", || items(site, &["instance", "list"]).filter(Vec::is_empty));
    let told = Told::read(site);
    assert_eq!(told.present, BTreeSet::new(), "nothing is left on a machine, with seed {seed}");
    assert!(ids.iter().all(|id| told.built[id] == 1 && told.started[id] == 1));
    until(LIMIT, "the audit finds nothing", || {
        let audit = site.cirro(&["audit", "-o", "json"]);
        (audit.code == 0).then_some(())
    });
}

/// Does something while so many are killed, each at a moment that the seed chooses.
fn during(site: &Many, seed: u64, deaths: usize, what: impl FnOnce()) {
    let mut chance = Rng::with_seed(seed);
    let kill = move || {
        for _ in 0..deaths {
            let enough = Told::read(site).lines + chance.usize(1..80);
            within(LULL, || (Told::read(site).lines >= enough).then_some(()));
            match VICTIMS[chance.usize(..VICTIMS.len())] {
                "PostgreSQL" => site.postgres.crash(),
                process => site.processes().get(process).into_iter().for_each(|pid| signal_if_there("KILL", *pid)),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(kill);
        what();
    });
}

/// Types it until it is answered: under one key it has one effect.
fn answered(site: &Many, words: &[&str], key: &str) {
    let words = [words, &["--idempotency-key", key]].concat();
    until(LIMIT, &format!("{words:?} is answered"), || {
        let did = site.cirro(&words);
        assert!([0, 1, 4, 5].contains(&did.code), "{did:?}");
        (did.code == 0).then_some(())
    });
}

/// A list, if it is answered just now.
fn items(site: &Many, words: &[&str]) -> Option<Vec<Value>> {
    let did = site.cirro(&[words, &["--all", "-o", "json"]].concat());
    let listed: Value = serde_json::from_str(&did.out).ok().filter(|_| did.code == 0)?;
    listed["items"].as_array().cloned()
}

/// What the ledger says.
#[derive(Default)]
struct Told {
    lines: usize,
    built: BTreeMap<String, usize>,
    started: BTreeMap<String, usize>,
    /// The instances that there are on machines.
    present: BTreeSet<String>,
}

impl Told {
    /// Stops the test where an instance is in two places.
    fn read(site: &Many) -> Self {
        let (mut told, mut places) = (Self::default(), BTreeMap::<String, String>::new());
        let text = fs::read_to_string(site.data("simulated/ledger-0001")).unwrap();
        // the last line may be half written just now
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let [_time, node, instance, did, ..] = line.trim_end().split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            told.lines += 1;
            match did {
                "built" => {
                    let before = places.insert(instance.to_owned(), node.to_owned());
                    assert_eq!(before, None, "{instance} is in two places: {line}");
                    *told.built.entry(instance.to_owned()).or_default() += 1;
                }
                "started" => *told.started.entry(instance.to_owned()).or_default() += 1,
                "removed" => drop(places.remove(instance)),
                _ => {}
            }
        }
        told.present = places.into_keys().collect();
        told
    }
}
