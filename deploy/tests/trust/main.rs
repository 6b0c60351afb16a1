//! A site whose services are apart: each has its own database, certificate and server, and reaches the others over mutual
//! TLS; a machine joins it through one address.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod apart;
mod node;
mod relay;
