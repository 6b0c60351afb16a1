//! How many calls may have a connection at once, and the bounded queue of those that wait for one.
//!
//! With HTTP/1.1 there are as many permits as connections at the high watermark. A connection is only opened by one who
//! has a permit and found none idle, so the connections never outnumber the permits. With HTTP/2 each connection stands
//! for as many permits as it carries calls.

use super::{PoolMetrics, PoolParams};
use crate::{link::Protocol, request::Fault};
use cirro_models::alert::{Alert, Bell};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

pub(super) struct Room {
    name: Arc<str>,
    params: PoolParams,
    now: Mutex<Now>,
    waiting: AtomicUsize,
    left: Arc<AtomicU64>,
    saturated: Bell,
    late: Bell,
    locked: Bell,
    metrics: Arc<PoolMetrics>,
}

struct Now {
    permits: Arc<Semaphore>,
    /// What the endpoint speaks, once that is known.
    spoken: Option<Protocol>,
}

/// The right to one call on a connection. Giving it back is what the next in the queue waits for.
pub(super) struct Permit {
    _place: OwnedSemaphorePermit,
    left: Arc<AtomicU64>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.left.fetch_add(1, Relaxed);
    }
}

/// A place in the queue.
struct Waiting<'r>(&'r Room);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
        self.0.metrics.waiting.change(-1);
    }
}

impl Room {
    pub(super) fn new(name: Arc<str>, params: PoolParams, metrics: Arc<PoolMetrics>) -> Self {
        let permits = Arc::new(Semaphore::new(params.high));
        Self {
            name,
            params,
            now: Mutex::new(Now { permits, spoken: None }),
            waiting: AtomicUsize::new(0),
            left: Arc::default(),
            saturated: Bell::new(Alert::ClientPoolSaturated),
            late: Bell::new(Alert::ClientQueueTimeout),
            locked: Bell::new(Alert::ClientPoolLocked),
            metrics,
        }
    }
    /// Whether it is known that each call takes a connection of its own.
    pub(super) fn one_call_each(&self) -> bool {
        self.now.lock().spoken == Some(Protocol::One)
    }
    /// Learns what is spoken on a connection that was just opened.
    pub(super) fn settle(&self, protocol: Protocol) {
        let mut now = self.now.lock();
        let more = self.params.high * self.params.streams.saturating_sub(1);
        match (now.spoken, protocol) {
            (None | Some(Protocol::One), Protocol::Many) => now.permits.add_permits(more),
            // the endpoint was replaced by one that speaks less: what was let in belongs to connections that are gone
            (Some(Protocol::Many), Protocol::One) => now.permits = Arc::new(Semaphore::new(self.params.high)),
            _ => {}
        }
        now.spoken = Some(protocol);
    }
    /// A permit, at once or after a wait in the queue.
    pub(super) async fn enter(&self) -> Result<Permit, Fault> {
        let permits = self.now.lock().permits.clone();
        let place = match permits.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => self.queue(permits).await?,
        };
        Ok(Permit { _place: place, left: self.left.clone() })
    }
    async fn queue(&self, permits: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Fault> {
        let before = self.waiting.fetch_add(1, Relaxed);
        self.metrics.waiting.change(1);
        let _waiting = Waiting(self);
        if before >= self.params.queue {
            self.metrics.refusals.add();
            self.saturated.ring(|| {
                format!("{before} calls wait for a connection to {}: it is too slow, or gets too much", self.name)
            });
            return Err(self.fault("the queue is full"));
        }
        let left = self.left.load(Relaxed);
        if let Ok(Ok(place)) = timeout(self.params.queue_timeout, permits.acquire_owned()).await {
            return Ok(place);
        }
        self.metrics.timeouts.add();
        let (after, busy) = (self.params.queue_timeout, self.params.high);
        if self.left.load(Relaxed) == left {
            self.locked.ring(|| {
                format!(
                    "no call to {} has ended for {after:?} and all {busy} connections are busy: it hangs",
                    self.name
                )
            });
        }
        self.late.ring(|| {
            format!("a call to {} waited {after:?} for a connection: it is too slow, or gets too much", self.name)
        });
        Err(self.fault("the wait in the queue took too long"))
    }
    fn fault(&self, cause: &'static str) -> Fault {
        Fault::Saturated { endpoint: self.name.clone(), cause }
    }
}
