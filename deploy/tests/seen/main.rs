//! What an operator sees of a site of several processes: who runs and how it is, one story of a request across all of them,
//! and metrics. The servers are real: PostgreSQL that `CIRRO_TEST_POSTGRES` names, an etcd of each test, and nginx.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, reason = "tests")]
#![allow(dead_code, reason = "what is shared with the tests of other sites")]

#[path = "../common/mod.rs"]
mod common;
mod kit;
#[path = "../site/loud.rs"]
mod loud;
mod metrics;
#[path = "../site/process.rs"]
mod process;
mod shipped;
mod status;
mod story;
mod traces;
