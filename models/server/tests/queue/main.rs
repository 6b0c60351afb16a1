//! The work queue: whatever happens to its workers, each job's effect is there exactly once, or the job is there for an
//! Operator to see.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails where it is")]

mod enqueued;
mod failed;
mod jobs;
mod killed;
mod leases;
mod operated;
mod scene;
