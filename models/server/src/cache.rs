//! Rows that were read, remembered until they are written.
//!
//! A get by id costs 50 µs of processor through a database thread, nearly all of it the way there and back; a look here
//! costs less than one. Only SQLite has it, where one process owns the database and one thread of it writes.
//!
//! **Nothing stale is ever seen here by somebody who could know better.** Before the writer commits, it *closes* every
//! row that the transaction wrote: the row is forgotten, and looks miss. After the commit (or its failure) it *opens*
//! them, and only then is anybody told of the outcome. So whoever has heard of a commit, from its answer, from the feed
//! or by a list, finds the new row.
//!
//! **A slow reader puts nothing stale in.** Between a reader's load and its [`Cache::keep`] the row may have been
//! written. A look that misses therefore gives a [`Ticket`] with the generation that the row's part of the cache had
//! *before* the load; closing and opening move the generation on, and a row that comes with an older ticket is dropped.
//! A look at a closed row gives a ticket that keeps nothing. Writes to other parts of the cache do not disturb, so a busy
//! writer does not keep the cache empty.
//!
//! **It is bounded** by what its rows weigh; a part that is full starts anew, which costs some loads and no bookkeeping
//! on reads. Who may see a row is none of its business: permission is asked of the row after every look.

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// Parts with a lock and a generation each.
const PARTS: usize = 64;
/// The most bytes that one model's rows may weigh: 20,000 rows of the usual size.
const BUDGET: usize = 16 * 1024 * 1024;
/// What a remembered row costs beside its bytes on the wire: the row itself and its entry here.
const OVERHEAD: usize = 512;

/// What is remembered of one model's rows.
pub(crate) struct Cache<V> {
    parts: [Mutex<Part<V>>; PARTS],
    budget: usize,
}

struct Part<V> {
    /// Rows, and what each weighs.
    rows: HashMap<Uuid, (Arc<V>, usize)>,
    weight: usize,
    generation: u64,
    /// How many closings have not been opened again.
    closed: usize,
}

impl<V> Part<V> {
    fn forget(&mut self, id: Uuid) {
        if let Some((_, weight)) = self.rows.remove(&id) {
            self.weight -= weight;
        }
    }
    fn forget_all(&mut self) {
        self.rows.clear();
        self.weight = 0;
    }
}

/// Leave to keep a row that is loaded from now on.
pub(crate) struct Ticket {
    id: Uuid,
    generation: Option<u64>,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self::within(BUDGET)
    }
}

impl<V> Cache<V> {
    fn within(budget: usize) -> Self {
        let part = |_| Mutex::new(Part { rows: HashMap::new(), weight: 0, generation: 0, closed: 0 });
        Self { parts: std::array::from_fn(part), budget }
    }
    fn part(&self, id: Uuid) -> &Mutex<Part<V>> {
        // the last byte of an id is random, also in version 7
        &self.parts[usize::from(id.as_bytes()[15]) % PARTS]
    }
    /// The row, or leave to keep it once it is loaded.
    pub(crate) fn look(&self, id: Uuid) -> Result<Arc<V>, Ticket> {
        let part = self.part(id).lock();
        match part.rows.get(&id) {
            Some((row, _)) => Ok(row.clone()),
            None => Err(Ticket { id, generation: (part.closed == 0).then_some(part.generation) }),
        }
    }
    /// Keeps a row that was loaded after its ticket was given and is `bytes` long on the wire.
    pub(crate) fn keep(&self, ticket: &Ticket, row: Arc<V>, bytes: usize) {
        let (weight, most) = (bytes + OVERHEAD, self.budget / PARTS);
        let mut part = self.part(ticket.id).lock();
        if ticket.generation != Some(part.generation) || weight > most / 8 {
            return;
        }
        part.forget(ticket.id);
        if part.weight + weight > most {
            part.forget_all();
        }
        part.rows.insert(ticket.id, (row, weight));
        part.weight += weight;
    }
}

/// What the writer does to a cache, whatever is in it.
trait Invalidate: Send + Sync {
    fn close(&self, id: Uuid);
    fn open(&self, id: Uuid);
}

impl<V: Send + Sync> Invalidate for Cache<V> {
    fn close(&self, id: Uuid) {
        let mut part = self.part(id).lock();
        part.generation += 1;
        part.closed += 1;
        part.forget(id);
    }
    fn open(&self, id: Uuid) {
        let mut part = self.part(id).lock();
        part.generation += 1;
        part.closed -= 1;
    }
}

/// A row that a transaction wrote: its model's path and its id.
pub(crate) type Written = (&'static str, Uuid);

/// The caches over one database, by their models.
#[derive(Default)]
pub(crate) struct Caches(RwLock<ByModel>);

type ByModel = HashMap<&'static str, Vec<Arc<dyn Invalidate>>>;

impl Caches {
    /// A new cache of a model's rows, which the writer will keep true.
    pub(crate) fn add<V: Send + Sync + 'static>(&self, model: &'static str) -> Arc<Cache<V>> {
        let cache = Arc::new(Cache::default());
        self.0.write().entry(model).or_default().push(cache.clone());
        cache
    }
    /// Closes rows until the guard is dropped. No cache is added meanwhile: it would not know what is closed.
    pub(crate) fn close(&self, rows: Vec<Written>) -> Closed<'_> {
        let closed = Closed { caches: self.0.read(), rows };
        closed.each(Invalidate::close);
        closed
    }
}

/// Rows that are being committed.
pub(crate) struct Closed<'c> {
    caches: RwLockReadGuard<'c, ByModel>,
    rows: Vec<Written>,
}

impl Closed<'_> {
    fn each(&self, act: impl Fn(&(dyn Invalidate + 'static), Uuid)) {
        for (model, id) in &self.rows {
            self.caches.get(model).into_iter().flatten().for_each(|cache| act(cache.as_ref(), *id));
        }
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.each(Invalidate::open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Uuid = Uuid::from_u128(7);

    fn caches() -> (Caches, Arc<Cache<&'static str>>) {
        let caches = Caches::default();
        let cache = caches.add("user");
        (caches, cache)
    }
    fn miss(cache: &Cache<&'static str>, id: Uuid) -> Ticket {
        cache.look(id).expect_err("nothing is remembered")
    }
    fn keep(cache: &Cache<&'static str>, ticket: &Ticket, row: &'static str) {
        cache.keep(ticket, Arc::new(row), row.len());
    }
    fn commit(caches: &Caches, id: Uuid) {
        drop(caches.close(vec![("user", id)]));
    }

    #[test]
    fn a_kept_row_is_found_until_it_is_written() {
        let (caches, cache) = caches();
        keep(&cache, &miss(&cache, ROW), "old");
        assert_eq!(cache.look(ROW).ok().as_deref(), Some(&"old"));
        commit(&caches, ROW);
        miss(&cache, ROW);
    }

    #[test]
    fn a_row_that_was_loaded_before_a_commit_is_not_kept_after_it() {
        let (caches, cache) = caches();
        let ticket = miss(&cache, ROW); // and the old row is loaded
        commit(&caches, ROW);
        keep(&cache, &ticket, "old");
        miss(&cache, ROW);
    }

    #[test]
    fn a_row_that_is_loaded_and_kept_during_a_commit_is_not_there_after_it() {
        let (caches, cache) = caches();
        let before = miss(&cache, ROW);
        let committing = caches.close(vec![("user", ROW)]);
        let during = miss(&cache, ROW);
        keep(&cache, &before, "old");
        keep(&cache, &during, "old");
        miss(&cache, ROW);
        drop(committing);
        keep(&cache, &during, "old");
        miss(&cache, ROW);
        keep(&cache, &miss(&cache, ROW), "new");
        assert_eq!(cache.look(ROW).ok().as_deref(), Some(&"new"));
    }

    #[test]
    fn a_row_is_closed_until_its_last_write_is_committed() {
        let (caches, cache) = caches();
        let twice = caches.close(vec![("user", ROW), ("user", ROW)]);
        assert!(miss(&cache, ROW).generation.is_none());
        drop(twice);
        assert!(miss(&cache, ROW).generation.is_some());
    }

    #[test]
    fn a_write_of_one_row_or_model_leaves_the_others() {
        let (caches, cache) = caches();
        let other = Uuid::from_u128(8);
        keep(&cache, &miss(&cache, ROW), "row");
        let ticket = miss(&cache, other);
        commit(&caches, ROW);
        drop(caches.close(vec![("project", other)]));
        keep(&cache, &ticket, "other");
        assert_eq!(cache.look(other).ok().as_deref(), Some(&"other"));
    }

    #[test]
    fn all_caches_of_a_model_are_kept_true() {
        let (caches, first) = caches();
        let second = caches.add("user");
        for cache in [&first, &second] {
            keep(cache, &miss(cache, ROW), "old");
        }
        commit(&caches, ROW);
        miss(&first, ROW);
        miss(&second, ROW);
    }

    #[test]
    fn it_is_bounded_by_weight_and_remembers_no_giants() {
        let cache = Cache::within(PARTS * 8 * 1024);
        // all in one part: their last bytes are the same
        let ids: Vec<Uuid> = (0..100).map(|n| Uuid::from_u128(n << 8)).collect();
        for id in &ids {
            keep(&cache, &miss(&cache, *id), "row");
            assert!(cache.part(*id).lock().weight <= 8 * 1024);
        }
        assert!(ids.iter().filter(|id| cache.look(**id).is_ok()).count() <= 15);
        assert!(cache.look(ids[99]).is_ok());
        cache.keep(&miss(&cache, ROW), Arc::new("giant"), 8 * 1024);
        miss(&cache, ROW);
        // a row that is kept again weighs once
        let cache = Cache::within(PARTS * 8 * 1024);
        let tickets = [miss(&cache, ROW), miss(&cache, ROW)];
        for ticket in &tickets {
            keep(&cache, ticket, "row");
        }
        assert_eq!(cache.part(ROW).lock().weight, OVERHEAD + 3);
    }
}
