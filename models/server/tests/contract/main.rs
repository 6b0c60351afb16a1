//! The contract of the stores: whatever way a model is reached and whatever database is under it, a verb means the same.
//!
//! A small service of test models ([`models`]) is reached four ways ([`site`]), one of them through a real nginx ([`bus`]);
//! what each verb answers is written down ([`record`]) and compared. The other files hold what is promised beyond single
//! answers: coalescing, idempotency, transactions and the feed, and the edges of HTTP ([`wire`]).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails where it is")]
#![allow(clippy::similar_names, reason = "ctx, member and members are what they are")]

mod bus;
mod coalescing;
#[path = "../../../../deploy/tests/common/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "what tests of whole sites share is more than is needed here"
)]
mod common;
mod edges;
mod events;
mod feed;
mod fields;
mod idempotency;
mod kept;
mod matrix;
mod models;
mod reach;
mod record;
mod routed;
mod saving;
mod schema;
mod site;
mod tokens;
mod upgrades;
mod wire;
mod writes;
