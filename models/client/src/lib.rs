//! How a process calls the services: the [`Http`] transport under `Remote` stores, and calls that are no model's verb.
//!
//! Here it is a plain pooled client over hyper and OpenSSL; discovery, balancing, retries and ejection are layers that
//! will stand between [`Http`] and its pool.

mod http;
mod login;

pub use http::{Body, Http, Streamed};
pub use login::{Login, Session, refreshed};

use cirro_models::{Context, Stores, identity::Secret};
use std::sync::Arc;

/// A context whose models are all elsewhere, over this transport, in the name of whom the token names.
pub fn context(transport: Arc<Http>, token: Option<Secret>) -> Context {
    Context::client(Arc::new(Stores::default().elsewhere(transport)), token)
}
