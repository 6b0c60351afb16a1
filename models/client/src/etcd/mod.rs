//! As much of etcd's v3 API as a registry takes, over its JSON gateway (etcd documentation, "gRPC gateway").
//!
//! The gateway writes keys and values in base64 and 64-bit numbers as strings, and leaves out what is zero or false: an
//! event without a type is a PUT, a keepalive without a TTL speaks of a lease that is gone.

#[cfg(test)]
mod tests;
mod wire;

use crate::{
    address::Address,
    connect::{Connect, ConnectParams, Dial},
    link::{Link, Protocol},
    request::{Fault, whole},
};
use cirro_models::{Error, Result};
use http_body_util::{BodyExt, Limited};
use hyper::{Request, Response, body::Incoming, header, http::uri::Uri};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::timeout;
use tower::ServiceExt;
use wire::{Granted, Kept, Range, Streamed, decoded, encoded, range_end};

/// How long etcd may take for an answer, or for the beginning of a stream.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most keys that one prefix may have.
const MOST_KEYS: u32 = 1000;
/// The longest answer, and the longest line of a stream.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A client of the servers of one etcd.
#[derive(Clone)]
pub(crate) struct Etcd {
    servers: Arc<[Address]>,
    dial: Arc<dyn Dial>,
    /// Who answered last.
    current: Arc<AtomicUsize>,
}

/// Everything under a prefix, as of a revision.
pub(crate) struct Listed {
    pub(crate) revision: i64,
    pub(crate) entries: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One change of a key; without a value it was deleted, or its lease has ended.
pub(crate) struct Event {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// What a watch says next.
pub(crate) enum Watched {
    Events(Vec<Event>),
    Compacted,
}

/// A watch under way.
pub(crate) struct Watch {
    body: Incoming,
    /// Keeps the connection open.
    _link: Link,
    read: Vec<u8>,
}

/// A lease's number.
pub(crate) type Lease = i64;

impl Etcd {
    pub(crate) fn new(servers: Vec<Address>, dial: Arc<dyn Dial>) -> Self {
        Self { servers: servers.into(), dial, current: Arc::default() }
    }
    /// Everything whose key begins with the prefix.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Listed> {
        let body = json!({ "key": encoded(prefix), "range_end": range_end(prefix), "limit": MOST_KEYS.to_string() });
        let range: Range = self.call("/v3/kv/range", &body).await?;
        let entries = range.kvs.iter().map(|kv| Ok((decoded(&kv.key)?, decoded(&kv.value)?)));
        Ok(Listed { revision: range.header.revision, entries: entries.collect::<Result<_>>()? })
    }
    /// Sets a key for as long as the lease lasts.
    pub(crate) async fn put(&self, key: &str, value: &[u8], lease: Lease) -> Result<()> {
        let body = json!({ "key": encoded(key), "value": encoded(value), "lease": lease.to_string() });
        self.call::<serde_json::Value>("/v3/kv/put", &body).await.map(drop)
    }
    /// A lease of so many seconds.
    pub(crate) async fn grant(&self, ttl_s: u64) -> Result<Lease> {
        let granted: Granted = self.call("/v3/lease/grant", &json!({ "TTL": ttl_s.to_string() })).await?;
        Ok(granted.id)
    }
    /// Begins the lease's time anew; false if it is gone.
    pub(crate) async fn keep_alive(&self, lease: Lease) -> Result<bool> {
        let kept: Streamed<Kept> = self.call("/v3/lease/keepalive", &json!({ "ID": lease.to_string() })).await?;
        Ok(kept.result.is_some_and(|kept| kept.ttl > 0))
    }
    /// Ends the lease, and with it its keys.
    pub(crate) async fn revoke(&self, lease: Lease) -> Result<()> {
        let body = json!({ "ID": lease.to_string() });
        self.call::<serde_json::Value>("/v3/lease/revoke", &body).await.map(drop)
    }
    /// Follows what begins with the prefix, from this revision on.
    pub(crate) async fn watch(&self, prefix: &str, revision: i64) -> Result<Watch> {
        let create = json!({
            "key": encoded(prefix), "range_end": range_end(prefix), "start_revision": revision.to_string(),
        });
        let (link, response) = self.request("/v3/watch", &json!({ "create_request": create })).await?;
        Ok(Watch { body: response.into_body(), _link: link, read: Vec::new() })
    }

    pub(crate) async fn call<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let (_link, response) = self.request(path, body).await?;
        let (head, body) = response.into_parts();
        let read = timeout(PATIENCE, Limited::new(body, MAX_ANSWER).collect()).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes.to_bytes(),
            Ok(Err(error)) => return Err(self.away(&error.to_string())),
            Err(_) => return Err(self.away("its answer did not end in time")),
        };
        if !head.status.is_success() {
            return Err(self.away(&format!("it answered {path} with status {}", head.status)));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.away(&format!("its answer to {path} is none ({error})")))
    }
    /// Sends to the server that answered last, or to the next one that does.
    async fn request(&self, path: &str, body: &impl Serialize) -> Result<(Link, Response<Incoming>)> {
        let body = serde_json::to_vec(body).map_err(Error::internal)?;
        let first = self.current.load(Relaxed);
        let mut last = "no server was given".to_owned();
        for turn in 0..self.servers.len() {
            let place = first.wrapping_add(turn) % self.servers.len();
            let sent = timeout(PATIENCE, self.send(&self.servers[place], path, body.clone())).await;
            last = match sent.unwrap_or_else(|_| Err("it did not answer in time".to_owned())) {
                Ok(answer) => {
                    self.current.store(place, Relaxed);
                    return Ok(answer);
                }
                Err(cause) => cause,
            };
        }
        Err(self.away(&last))
    }
    async fn send(&self, server: &Address, path: &str, body: Vec<u8>) -> Result<(Link, Response<Incoming>), String> {
        let connect = Connect::new(server.clone(), self.dial.clone(), ConnectParams::default(), Arc::default());
        let mut link = connect.oneshot(()).await.map_err(|fault| match fault {
            Fault::Connect { cause, .. } => cause,
            other => format!("{other:?}"),
        })?;
        let mut uri = Uri::builder().path_and_query(path);
        if link.protocol() == Protocol::Many {
            uri = uri.scheme(if server.tls() { "https" } else { "http" }).authority(server.authority());
        }
        let request = Request::post(uri.build().map_err(|error| error.to_string())?)
            .header(header::HOST, server.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .body(whole(body.into()))
            .map_err(|error| error.to_string())?;
        let response = link.send(request).await.map_err(|error| error.error().to_string())?;
        Ok((link, response))
    }
    fn away(&self, cause: &str) -> Error {
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        Error::unavailable(format!("the registry at {} is no help ({cause}): check that etcd runs", servers.join(", ")))
    }
}

impl Watch {
    /// The next changes. An error ends the watch.
    pub(crate) async fn next(&mut self) -> Result<Watched> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if let Some(watched) = wire::watched(&line)? {
                    return Ok(watched);
                }
            }
            let ended = |cause: &str| Error::unavailable(format!("the watch of the registry ended ({cause})"));
            if self.read.len() > MAX_ANSWER {
                return Err(ended("a line of it is too long"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.read.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(ended(&error.to_string())),
                None => return Err(ended("etcd closed it")),
            }
        }
    }
}
