//! Sites on several machines between which the ways are cut: each machine is a network namespace of this test, with the
//! real processes in it, and what is cut is lost between them.
#![allow(unreachable_pub, reason = "a test has no outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails where it is")]
#![allow(dead_code, reason = "what tests of whole sites share is more than each of them uses")]

#[path = "../common/mod.rs"]
mod common;
mod identity;
#[path = "../many/instances.rs"]
mod instances;
mod kit;
#[path = "../many/load.rs"]
mod load;
mod network;
mod node;
#[path = "../many/nodes.rs"]
mod nodes;
#[path = "../many/postgres.rs"]
mod postgres;
