//! When each node was last heard of, and the sequence of its reports: kept in memory, because it is worth nothing after
//! a restart.

use cirro_models::{Id, compute::Node};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// When each node was last heard of.
#[derive(Default)]
pub(crate) struct Presence(Mutex<HashMap<Id<Node>, Seen>>);

struct Seen {
    last: Instant,
    boot: Option<(Uuid, u64)>,
}

impl Presence {
    /// The node has called.
    pub(crate) fn heard(&self, node: Id<Node>) {
        self.0.lock().entry(node).or_insert_with(|| Seen { last: Instant::now(), boot: None }).last = Instant::now();
    }
    /// Whether this report is newer than those of the same boot before it.
    pub(crate) fn is_news(&self, node: Id<Node>, boot: Uuid, sequence: u64) -> bool {
        let mut seen = self.0.lock();
        let entry = seen.entry(node).or_insert_with(|| Seen { last: Instant::now(), boot: None });
        let news = entry.boot.is_none_or(|(last_boot, last)| last_boot != boot || sequence > last);
        if news {
            entry.boot = Some((boot, sequence));
        }
        news
    }
    /// The report could not be taken over: it may come again.
    pub(crate) fn forget_report(&self, node: Id<Node>, sequence: u64) {
        if let Some(Seen { boot: Some((_, last)), .. }) = self.0.lock().get_mut(&node)
            && *last == sequence
        {
            *last = sequence.saturating_sub(1);
        }
    }
    /// Sets back when the node was last heard of.
    #[cfg(test)]
    pub(crate) fn backdate(&self, node: Id<Node>, by: Duration) {
        if let Some(seen) = self.0.lock().get_mut(&node) {
            seen.last -= by;
        }
    }
    /// How long ago the node was heard of; `None` if never since this process began.
    pub(crate) fn silent_for(&self, node: Id<Node>) -> Option<Duration> {
        self.0.lock().get(&node).map(|seen| seen.last.elapsed())
    }
}
