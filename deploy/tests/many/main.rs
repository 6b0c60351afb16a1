//! Sites of several processes, as `cirro site up` runs them: killed, restarted, cut off, under load.
#![allow(unreachable_pub, reason = "a test has no outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails where it is")]
#![allow(dead_code, reason = "what tests of whole sites share is more than each of them uses")]

mod away;
#[path = "../common/mod.rs"]
mod common;
mod deaths;
mod guests;
mod ill;
mod instances;
mod kills;
mod kit;
mod load;
mod nodes;
mod postgres;
mod registry;
mod relay;
mod restarts;
mod simulated;
