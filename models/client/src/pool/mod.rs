//! Pool: the connections to one endpoint. Between its watermarks they come and go with the load; above the high one,
//! calls queue, not too many and not too long. An HTTP/2 connection carries many calls, an HTTP/1.1 one a single call.

mod exchange;
mod kept;
mod room;
#[cfg(test)]
mod tests;

use crate::{
    address::Address,
    link::Link,
    metrics::{Counter, Gauge},
    request::{Fault, Payload, Reply, Sending, Way, whole},
};
use cirro_models::Error;
use exchange::{Lost, Peer};
use kept::{Kept, Lease};
use room::Room;
use std::{
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll},
    time::Duration,
};
use tower::{Service, ServiceExt};

/// How many connections, and how long they and their queue last.
#[derive(Debug, Clone)]
pub struct PoolParams {
    /// So many idle connections stay open however long.
    pub low: usize,
    /// Never more connections than this.
    pub high: usize,
    /// Calls that one HTTP/2 connection carries at once; actix and nginx allow at least 100.
    pub streams: usize,
    /// How many calls may wait for a connection.
    pub queue: usize,
    /// How long a call may wait for one.
    pub queue_timeout: Duration,
    /// How long connections above the low watermark stay idle. Less than the 5 s after which actix closes them.
    pub idle: Duration,
    /// How old a connection may get: certificates change, and who is behind an address. An older one takes no more calls;
    /// with HTTP/2, those that it carries end on it, beside its successor.
    pub age: Duration,
}

impl Default for PoolParams {
    fn default() -> Self {
        Self {
            low: 2,
            high: 64,
            streams: 100,
            queue: 1024,
            queue_timeout: Duration::from_secs(5),
            idle: Duration::from_secs(4),
            age: Duration::from_secs(300),
        }
    }
}

/// The pool in front of what opens connections.
pub(crate) struct Pool<C> {
    inner: Arc<Inner<C>>,
}

impl<C> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<C> {
    peer: Peer,
    connect: C,
    kept: Arc<Kept>,
    room: Room,
    /// Held while the first connection is opened, and each of HTTP/2: what waits for it can share it.
    opening: tokio::sync::Mutex<()>,
    /// How many openings have failed.
    failed: AtomicU64,
    metrics: Arc<PoolMetrics>,
}

impl<C> Pool<C>
where
    C: Service<(), Response = Link, Error = Fault, Future: Send> + Clone + Send + Sync + 'static,
{
    /// An empty pool of connections to this address.
    pub(crate) fn new(address: &Address, connect: C, params: &PoolParams, metrics: Arc<PoolMetrics>) -> Self {
        let peer = Peer::new(address);
        let room = Room::new(peer.name.clone(), params.clone(), metrics.clone());
        let kept = Kept::new(params.clone());
        let (opening, failed) = Default::default();
        Self { inner: Arc::new(Inner { peer, connect, kept, room, opening, failed, metrics }) }
    }
}

impl<C> Service<Sending> for Pool<C>
where
    C: Service<(), Response = Link, Error = Fault, Future: Send> + Clone + Send + Sync + 'static,
{
    type Response = Reply;
    type Error = Fault;
    type Future = Way;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, sending: Sending) -> Way {
        let inner = self.inner.clone();
        Box::pin(async move { inner.run(sending).await })
    }
}

impl<C> Inner<C>
where
    C: Service<(), Response = Link, Error = Fault, Future: Send> + Clone + Send + Sync + 'static,
{
    /// One call: a connection, the exchange on it, and once more if an idle connection turns out to be closed.
    async fn run(&self, mut sending: Sending) -> Result<Reply, Fault> {
        let mut lease = self.lease().await?;
        let mut body = match std::mem::replace(&mut sending.payload, Payload::Gone) {
            Payload::Whole(bytes) => {
                sending.payload = Payload::Whole(bytes.clone());
                whole(bytes)
            }
            Payload::Stream(body) => body,
            Payload::Gone => return Err(Fault::Refused(Error::internal("a stream was sent twice"))),
        };
        let mut repeated = false;
        loop {
            let (reused, was_idle) = (lease.reused(), lease.was_idle());
            let Lost { fault, unsent } = match exchange::run(lease, &sending, body, &self.peer).await {
                Ok(mut reply) => {
                    reply.repeated = repeated;
                    return Ok(reply);
                }
                Err(lost) => *lost,
            };
            body = match (unsent, &sending.payload) {
                _ if repeated => return Err(fault),
                (Some(unsent), _) if reused => unsent,
                // the server may have begun with it, so only what may run twice goes out again
                (None, Payload::Whole(bytes)) if was_idle && sending.repeatable() => whole(bytes.clone()),
                _ => return Err(fault),
            };
            repeated = true;
            self.metrics.repeated.add();
            // who closed one idle connection has closed the others, or is about to
            self.kept.close_idle();
            lease = self.lease().await?;
        }
    }
    async fn lease(&self) -> Result<Lease, Fault> {
        let permit = self.room.enter().await?;
        let mut lease = match self.kept.take() {
            Some(lease) => lease,
            None => self.open().await?,
        };
        lease.admit(permit);
        Ok(lease)
    }
    /// A fresh connection, or a share of one that was opened meanwhile. The caller has a permit.
    async fn open(&self) -> Result<Lease, Fault> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.room.one_call_each() {
            return self.connected().await;
        }
        let failed = self.failed.load(Relaxed);
        let turn = self.opening.lock().await;
        if let Some(lease) = self.kept.take() {
            return Ok(lease);
        }
        if self.room.one_call_each() {
            drop(turn);
            return self.connected().await;
        }
        if self.failed.load(Relaxed) != failed {
            // one try speaks for all who waited for it: a thousand calls must not knock one after the other
            let cause = "the connection that this call waited for could not be opened".to_owned();
            return Err(Fault::Connect { endpoint: self.peer.name.clone(), cause });
        }
        self.connected().await.inspect_err(|_| {
            self.failed.fetch_add(1, Relaxed);
        })
    }
    async fn connected(&self) -> Result<Lease, Fault> {
        let link = self.connect.clone().oneshot(()).await?;
        self.metrics.opened.add();
        self.room.settle(link.protocol());
        Ok(self.kept.lease(link))
    }
}

/// What the pools of one stack counted.
#[derive(Debug, Default)]
pub struct PoolMetrics {
    /// Connections that were opened.
    pub opened: Counter,
    /// Connections that are open.
    pub open: Arc<Gauge>,
    /// Calls that wait for a connection.
    pub waiting: Gauge,
    /// Calls that waited in vain.
    pub timeouts: Counter,
    /// Calls that found the queue full.
    pub refusals: Counter,
    /// Calls that were sent again because an idle connection closed under them.
    pub repeated: Counter,
}
