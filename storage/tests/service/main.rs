//! The storage service with a real database (both kinds) and a real server: what is refused, what races end in, and what a
//! node may say.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod attachments;
mod nodes;
mod orphans;
mod pools;
mod site;
mod volumes;
