//! Processes that die without a word.

use crate::{
    common::Typed,
    kit::{Many, SERVICES},
    load::{Kind, Load, Outcome},
};
use std::collections::BTreeSet;

/// Nothing that may run twice has failed; of the rest, only with 502 or 503; and what was created is what was answered.
pub fn nothing_is_lost(site: &Many, outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_good()) {
        assert!(!outcome.kind.repeatable(), "{outcome:?}");
        assert!(matches!(outcome.status, Ok(502 | 503)), "{outcome:?}");
    }
    let listed = site.listed(&["sshkey", "list"]);
    let names: Vec<&str> = listed.iter().map(|key| key["name"].as_str().unwrap()).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len(), "something is there twice");
    for outcome in outcomes.iter().filter(|outcome| matches!(outcome.kind, Kind::Keyed | Kind::Unkeyed)) {
        let there = distinct.contains(outcome.name.as_str());
        // of a call without a key that failed, nobody knows; but what was answered must be there
        assert!(there || !outcome.is_good(), "{outcome:?} was answered and is not there");
    }
}

#[test]
fn each_process_is_killed_and_once_more_while_it_starts_and_no_call_fails() {
    let site = Many::start();
    let load = Load::start(site.client());
    for n in [1, 2] {
        for service in SERVICES {
            let name = format!("{service}-{n}");
            let first = site.signal(&name, "KILL");
            let second = site.pid(&name, Some(first));
            crate::common::signal("KILL", second);
            let starts = site.starts(&name);
            site.pid(&name, Some(second));
            // the other one must not be killed while this one is not back
            site.until_serving(&name, starts + 1);
            site.until_registered(service, 2);
            site.until_asked(&name);
        }
    }
    let outcomes = load.stop("each process killed twice");
    nothing_is_lost(&site, &outcomes);
}

#[test]
fn the_bus_s_watcher_and_the_bus_are_killed_and_come_back() {
    let site = Many::start();
    let load = Load::start(site.client());
    let watcher = site.signal("bus", "KILL");
    site.pid("bus", Some(watcher));
    site.until_logged("bus", "the bus answers", 2);
    let outcomes = load.stop("the watcher of the bus killed");
    assert!(outcomes.iter().all(Outcome::is_good), "nginx runs on without it: {outcomes:?}");
    let nginx = std::fs::read_to_string(site.data("bus/nginx.pid")).unwrap();
    crate::common::signal("KILL", nginx.trim().parse().unwrap());
    site.until_logged("bus", "bus.died", 1);
    crate::common::until(crate::common::LIMIT, "the bus answers again", || {
        (site.cirro(&["flavor", "list"]).code == 0).then_some(())
    });
}
