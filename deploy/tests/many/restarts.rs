//! Processes that are told to end, one after the other.

use crate::{
    deaths::nothing_is_lost,
    kit::{Many, SERVICES},
    load::{Load, Outcome},
};

#[test]
fn every_process_is_restarted_in_turn_and_no_call_fails() {
    let site = Many::start();
    let load = Load::start(site.client());
    for n in [1, 2] {
        // one of each at once: they are different services
        let before = SERVICES.map(|service| site.signal(&format!("{service}-{n}"), "TERM"));
        for (service, pid) in SERVICES.iter().zip(before) {
            let name = format!("{service}-{n}");
            site.pid(&name, Some(pid));
            site.until_logged(&name, "the process leaves the registry", 1);
            site.until_serving(&name, 2);
        }
        SERVICES.iter().for_each(|service| site.until_registered(service, 2));
    }
    let outcomes = load.stop("each process restarted");
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_good()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    nothing_is_lost(&site, &outcomes);
    assert!(outcomes.iter().all(Outcome::is_good));
}
