//! The server side of Cirro: what turns a list of models and controllers into a service.
//!
//! * [`db`]: a service's own database, SQLite or PostgreSQL, written through [`Tx`] only.
//! * [`Controller`]: the operations on one model where they differ from the defaults; knows nothing of HTTP.
//! * [`local`] and [`mounted`]: the stores of an owner, and of others in the owner's process.
//! * [`queue`]: what a service goes on with after it has answered.
//! * [`audit`]: what has no owner, found by each service among what it holds.
//! * [`token`]: who asks, verified offline; [`api_keys`]: how a key comes to a token.
//! * [`http`]: parsing, authenticating, rendering; problem documents; OpenAPI.
//! * [`requests`] and [`histogram`]: what is counted, for metrics.
//! * [`tls`]: who is at the other end of a connection.
//! * `testkit` (a feature): what tests of services stand on.
//! * [`Owner`]: a service put together: which models it owns, on one screen.

pub mod api_keys;
pub mod audit;
mod cache;
pub mod controller;
pub mod db;
pub mod histogram;
pub mod http;
pub mod local;
pub mod mounted;
pub mod owner;
pub mod queue;
pub mod requests;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod tls;
pub mod token;

pub use controller::{Controller, OwnerContext, Plain};
pub use db::{Database, Tx};
pub use owner::Owner;
pub use queue::Job;
