//! Who is connected, by real certificates over real TLS: whom identity believes, what each may do, and what ends that.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod keys;
mod log;
mod peers;
mod renewal;
mod revoked;
mod secure;
#[path = "../service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;
