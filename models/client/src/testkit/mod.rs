//! What the layers' tests stand on: requests, a peer without a network, and the log.

mod etcd;
mod log;
mod peer;
pub(crate) mod pki;

use crate::request::{Content, Payload, Reply, Sending, Wanted};
use bytes::Bytes;
use cirro_models::{Context, Stores};
pub(crate) use etcd::Server;
use hyper::{HeaderMap, Method, StatusCode};
pub(crate) use log::Log;
pub(crate) use peer::Peer;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A request that has a minute.
pub(crate) fn request(method: Method) -> Sending {
    Sending {
        ctx: Context::client(Arc::new(Stores::default()), None),
        method,
        path: "/compute/v1/instance".parse().unwrap(),
        headers: HeaderMap::new(),
        payload: Payload::Whole(Bytes::new()),
        wanted: Wanted::Whole,
        until: Some(Instant::now() + Duration::from_secs(60)),
        tried: Vec::new(),
    }
}

/// A GET that has a minute.
pub(crate) fn get() -> Sending {
    request(Method::GET)
}

/// A POST with an idempotency key.
pub(crate) fn keyed() -> Sending {
    let mut sending = request(Method::POST);
    sending.ctx = sending.ctx.keyed("k");
    sending
}

/// An empty reply.
pub(crate) fn reply(status: u16) -> Reply {
    let status = StatusCode::from_u16(status).unwrap();
    Reply { status, headers: HeaderMap::new(), content: Content::Whole(Bytes::new()), repeated: false }
}

/// Waits for what must come; a test that would hang fails and says for what it waited.
pub(crate) async fn within<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, coming).await.unwrap_or_else(|_| panic!("{limit:?} have passed until {what}"))
}
