//! The images service with a real database (both kinds), a real server and the real `qemu-img`: who may do what, what is
//! refused, and that nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod at_once;
mod orphans;
mod removed;
mod rights;
mod site;
mod tidied;
mod upload;
