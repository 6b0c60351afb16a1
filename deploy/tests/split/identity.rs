//! Compute loses identity.

use crate::{
    common::{LIMIT, Typed, until},
    kit::Split,
    load::{Kind, Outcome},
};
use std::time::Duration;

/// So long after the cut changes are taken for sure. What was last heard of revoked tokens is enough for 60 s (DESIGN §8).
/// It may be 10 s old when the way is cut, for identity keeps a question open that long; and an answer takes its time.
const SURE: Duration = Duration::from_secs(45);
const COMPUTE: [&str; 2] = ["compute-1", "compute-2"];

fn is_change(outcome: &Outcome) -> bool {
    matches!(outcome.kind, Kind::Keyed | Kind::Unkeyed)
}

/// Refused for want of identity, with a problem that says so and what to do.
fn is_refused(outcome: &Outcome) -> bool {
    let says = |words: &str| outcome.body.contains(words);
    outcome.status == Ok(503)
        && says("urn:cirro:problem:unavailable")
        && says("has not reached identity for a minute")
        && says("reads go on")
}

#[test]
fn compute_that_does_not_reach_identity_refuses_changes_after_a_minute_and_answers_reads() {
    let site = Split::start();
    let load = site.load();
    COMPUTE.iter().for_each(|name| site.until_answered(name, 201, 10));
    let [first, second, identity] = ["compute-1", "compute-2", "identity-1"].map(|name| site.machine_of(name));
    let cut = load.elapsed();
    // of one, only what it says is lost; of the other, also what it would hear
    site.network.lose(first, identity);
    site.network.lose(second, identity);
    site.network.lose(identity, second);
    // who comes now is known by the signature
    site.log_in().text();
    site.cirro(&["flavor", "list"]).text();
    for name in COMPUTE {
        until(LIMIT, &format!("{name} says that it knows too little"), || {
            site.has_logged(name, "revocations_stale").then_some(())
        });
    }
    let refused = load.elapsed();
    for name in COMPUTE {
        site.until_answered(name, 503, 20);
        site.until_answered(name, 200, 20);
    }
    let healed = load.elapsed();
    site.network.heal();
    for name in COMPUTE {
        until(LIMIT, &format!("{name} takes changes again"), || {
            site.has_logged(name, "changes are taken again").then_some(())
        });
    }
    let again = load.elapsed();
    COMPUTE.iter().for_each(|name| site.until_answered(name, 201, 20));
    let outcomes = load.stop("compute is cut off from identity");
    println!(
        "changes were refused {:?} after the cut, and taken {:?} after it was healed",
        refused.saturating_sub(cut),
        again.saturating_sub(healed)
    );

    for outcome in &outcomes {
        let ended = outcome.at + outcome.took;
        if !is_change(outcome) || ended < cut + SURE || outcome.at > again {
            assert!(outcome.is_good(), "{outcome:?}");
        } else if outcome.at > refused && ended < healed {
            assert!(is_refused(outcome), "{outcome:?}");
        } else {
            assert!(outcome.is_good() || is_refused(outcome), "{outcome:?}");
        }
    }
}
