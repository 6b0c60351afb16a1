//! One process of a service that is slow, hangs, or tells nonsense.

use crate::{
    common::{LIMIT, Typed, signal, until},
    deaths::nothing_is_lost,
    kit::Many,
    load::{Load, Outcome},
    relay::{Ill, Relay},
};

#[test]
fn a_way_to_one_process_is_slow_hangs_or_tells_nonsense_and_no_call_fails() {
    let site = Many::start();
    let relay = Relay::start(&site.registry("compute"), &site.address("compute-1"));
    site.until_registered("compute", 3);
    let access = site.data("bus/access.log");
    let calls = || std::fs::read_to_string(&access).unwrap_or_default().lines().count();
    for ill in [Ill::Not, Ill::Slow, Ill::Nonsense, Ill::Hangs] {
        relay.is(ill);
        let load = Load::start(site.client());
        let before = calls();
        until(LIMIT, "hundreds of calls are made", || (calls() > before + 400).then_some(()));
        let what = format!("one of three ways to compute {ill:?}");
        let outcomes = load.stop(&what);
        nothing_is_lost(&site, &outcomes);
        assert!(outcomes.iter().filter(|outcome| outcome.kind.repeatable()).all(Outcome::is_good));
    }
}

#[test]
fn a_process_that_stands_still_leaves_the_registry_and_comes_back() {
    let site = Many::start();
    let load = Load::start(site.client());
    let still = site.signal("compute-1", "STOP");
    site.until_registered("compute", 1);
    site.until_logged("bus", "the bus has a new configuration", 2);
    let rest = Load::start(site.client());
    until(LIMIT, "others are asked", || (site.cirro(&["flavor", "list"]).code == 0).then_some(()));
    let rest = rest.stop("after a process that stands still has left the registry");
    assert!(rest.iter().all(Outcome::is_good), "{rest:?}");
    let outcomes = load.stop("a process stands still");
    signal("CONT", still);
    site.until_registered("compute", 2);
    for outcome in outcomes.iter().filter(|outcome| outcome.kind.repeatable()) {
        assert!(outcome.is_good(), "{outcome:?}");
    }
}
