//! Whole sites as processes: what their operator sees when they start, end, crash and are refused, and what their
//! users' requests come to meanwhile. Guests are simulated; real ones are in `libvirt_site`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, reason = "tests")]
#![allow(dead_code, reason = "the kit is shared with libvirt_site")]

mod books;
mod bulk;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod crowd;
mod ill;
mod kit;
mod launch;
mod life;
mod loss;
mod loud;
mod metrics;
mod overload;
mod process;
mod refusals;
mod rolling;
mod start;
mod torn;
mod watched;
