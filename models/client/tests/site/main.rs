//! The whole stack against real servers on loopback: connections, TLS, failures, streams.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod connections;
mod failures;
#[path = "../../src/testkit/pki.rs"]
mod pki;
mod roles;
mod server;
mod sockets;
mod streams;
