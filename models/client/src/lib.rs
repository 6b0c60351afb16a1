//! How a process calls the services: the [`Http`] transport under `Remote` stores, and calls that are no model's verb.
//!
//! Every call goes down one [stack]: `Trace → Deadline → Retry → Sign → Balance`, then per endpoint `Eject → Pool →
//! Connect`. Endpoints are named by a URL and found by [`discovery`]; a process makes itself found in the [`registry`].

// The certificates of tests are made in one place, which integration tests share: it knows this crate by its name.
#[cfg(test)]
extern crate self as cirro_client;

mod address;
pub mod balance;
mod budget;
pub mod connect;
pub mod credential;
pub mod deadline;
pub mod discovery;
pub mod eject;
mod etcd;
mod events;
mod http;
mod link;
mod login;
pub mod metrics;
mod pin;
pub mod pool;
pub mod registry;
pub mod renewal;
mod request;
pub mod retry;
mod sign;
pub mod stack;
#[cfg(test)]
mod testkit;
pub mod tls;
pub mod trace;

pub use address::Address;
pub use credential::Credential;
pub use discovery::{Endpoints, Place};
pub use events::{Events, Next};
pub use http::{Http, Reach, Streamed};
pub use login::{Login, Session, refreshed};
pub use pin::pinned_authority;
pub use renewal::Renewal;
pub use request::Body;
pub use stack::Params;
pub use tls::{Identity, Tls};

use cirro_models::{Context, Stores, identity::Secret};
use std::sync::Arc;

/// A context whose models are all elsewhere, over this transport, in the name of whom the token names.
pub fn context(transport: Arc<Http>, token: Option<Secret>) -> Context {
    Context::client(Arc::new(Stores::default().elsewhere(transport)), token)
}
