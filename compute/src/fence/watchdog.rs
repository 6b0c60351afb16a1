//! Nodes whose watchdog stops everything there when it has had no lease for some time: taking over from one means waiting.
//!
//! Why that is enough: a node's leases are given by [`crate::routes::lease`], which says no from the moment on at which the node is
//! marked as being fenced. Whoever waits here begins after that mark was committed, so each yes was read before it, and its question
//! was asked even earlier. A lease lasts from its question for as long as the row says at most: when that has passed here, too, it
//! has passed there. Neither clock is ever compared with the other; only that they run at much the same rate is believed.

use cirro_models::compute::Node;
use std::{ops::RangeInclusive, time::Duration};

/// How long watchdogs may take, in seconds: a node that says anything else is taken for one without.
pub(crate) const WATCHDOGS_S: RangeInclusive<i64> = 1..=600;

/// How long stopping takes: processes are ended at once, unless the system is so slow that it is better waited for.
const STOPPING: Duration = Duration::from_secs(10);

/// The node's clock may be so much slower: this part of the time. Quartz is a thousand times better.
const RATE: u32 = 20;

/// After how long without a lease nothing runs on this node any more, by the clock of whoever waits; nothing where it has no watchdog.
pub(super) fn stops_within(node: &Node) -> Option<Duration> {
    let within = Duration::from_secs(u64::try_from(node.watchdog_s?).ok()?);
    Some(wait_for(within))
}

/// The same of a watchdog that takes so long.
pub(super) fn wait_for(within: Duration) -> Duration {
    within + within / RATE + STOPPING
}
