//! The connections that are open: those that wait for a call, and for HTTP/2 those that carry some.

use super::{PoolParams, room::Permit};
use crate::link::Link;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// How long a connection may take until it is free after an answer. A server that answers before it has read the whole
/// request may never read the rest.
const SETTLING: Duration = Duration::from_millis(100);

pub(super) struct Kept {
    params: PoolParams,
    links: Mutex<Vec<Slot>>,
    ids: AtomicU64,
    sweeping: AtomicBool,
}

/// A connection that is not, or not only, in the hands of a call.
struct Slot {
    id: u64,
    link: Link,
    /// Calls on it; always 0 for HTTP/1.1, whose connection leaves the list while it is used.
    used: usize,
    born: Instant,
    idle_since: Instant,
}

/// A connection, or a share of one, in the hands of a call.
pub(super) struct Lease {
    link: Option<Link>,
    id: u64,
    born: Instant,
    reused: bool,
    was_idle: bool,
    kept: Arc<Kept>,
    /// Dropped last: who enters next must find the connection that was given back.
    permit: Option<Permit>,
}

impl Kept {
    pub(super) fn new(params: PoolParams) -> Arc<Self> {
        let (links, ids, sweeping) = Default::default();
        Arc::new(Self { params, links, ids, sweeping })
    }
    /// A connection that is open already: the one that was used last, so that the others can grow idle and go.
    pub(super) fn take(self: &Arc<Self>) -> Option<Lease> {
        let now = Instant::now();
        let mut links = self.links.lock();
        links.retain(|slot| self.good(slot, now));
        let place = links.iter().rposition(|slot| slot.used < self.params.streams && self.young(slot.born, now))?;
        let slot = &mut links[place];
        let (id, born, was_idle) = (slot.id, slot.born, slot.used == 0);
        let link = match slot.link.share() {
            Some(link) => {
                slot.used += 1;
                link
            }
            None => links.remove(place).link,
        };
        Some(Lease { link: Some(link), id, born, reused: true, was_idle, kept: self.clone(), permit: None })
    }
    /// Takes a fresh connection in, and hands it out.
    pub(super) fn lease(self: &Arc<Self>, link: Link) -> Lease {
        let (id, born) = (self.ids.fetch_add(1, Relaxed), Instant::now());
        if let Some(share) = link.share() {
            self.links.lock().push(Slot { id, link: share, used: 1, born, idle_since: born });
        }
        Lease { link: Some(link), id, born, reused: false, was_idle: false, kept: self.clone(), permit: None }
    }
    /// Closes what carries no call.
    pub(super) fn close_idle(&self) {
        self.links.lock().retain(|slot| slot.used > 0);
    }
    /// How many are there.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.links.lock().len()
    }
    fn young(&self, born: Instant, now: Instant) -> bool {
        now.duration_since(born) < self.params.age
    }
    fn good(&self, slot: &Slot, now: Instant) -> bool {
        slot.used > 0 && !matches!(slot.link, Link::Many(ref link) if link.is_closed())
            || slot.link.is_ready() && self.young(slot.born, now)
    }
    /// Puts an HTTP/1.1 connection back, or takes a call off an HTTP/2 one.
    fn back(self: &Arc<Self>, id: u64, born: Instant, link: Option<Link>) {
        let idle_since = Instant::now();
        let mut links = self.links.lock();
        match link {
            Some(link) => links.push(Slot { id, link, used: 0, born, idle_since }),
            None => {
                if let Some(slot) = links.iter_mut().find(|slot| slot.id == id) {
                    slot.used = slot.used.saturating_sub(1);
                    slot.idle_since = idle_since;
                }
            }
        }
        let surplus = links.len() > self.params.low;
        drop(links);
        // an answer may be dropped where no runtime is; then the next call's end sees to it
        if surplus
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.sweeping.swap(true, Relaxed)
        {
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }
    /// Closes what is above the low watermark and was idle long enough, the longest idle first; false if all is done.
    fn swept(&self) -> bool {
        let now = Instant::now();
        let mut links = self.links.lock();
        let mut surplus = links.len().saturating_sub(self.params.low);
        links.retain(|slot| {
            let goes = surplus > 0 && slot.used == 0 && now.duration_since(slot.idle_since) >= self.params.idle;
            surplus -= usize::from(goes);
            !goes
        });
        let more = links.len() > self.params.low;
        // still under the lock, so that a connection that comes back now starts the next sweep
        self.sweeping.store(more, Relaxed);
        more
    }
}

/// Runs as long as there are more connections than the low watermark.
async fn sweep(kept: std::sync::Weak<Kept>) {
    loop {
        let Some(idle) = kept.upgrade().map(|kept| kept.params.idle) else { return };
        tokio::time::sleep(idle).await;
        let Some(kept) = kept.upgrade() else { return };
        if !kept.swept() {
            return;
        }
    }
}

impl Lease {
    /// Whether it was open before this call.
    pub(super) fn reused(&self) -> bool {
        self.reused
    }
    /// Whether it was open and carried no other call.
    pub(super) fn was_idle(&self) -> bool {
        self.was_idle
    }
    /// Keeps the permit until the call has ended.
    pub(super) fn admit(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }
    /// The connection; gone once the call has ended.
    pub(super) fn link(&mut self) -> Option<&mut Link> {
        self.link.as_mut()
    }
    /// The answer was read to its end: the connection can carry another call. Without this, HTTP/1.1's is closed.
    pub(super) async fn finish(mut self) {
        if let Some(link @ Link::One(_)) = &mut self.link
            && timeout(SETTLING, link.settled()).await == Ok(true)
        {
            self.kept.back(self.id, self.born, self.link.take());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Link::Many(_)) = self.link {
            self.kept.back(self.id, self.born, None);
        }
    }
}
