//! A few threads with a connection each, which take what is asked of the database in turn.

use crate::db::{is_away, open::Url, unreachable};
use cirro_models::{
    Error, Result,
    alert::{Alert, Bell},
    sql::AnyConnection,
};
use diesel::r2d2::R2D2Connection;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};
use tracing::Span;

/// How many queries may wait; more are refused, so that a slow database shows as a clear answer.
const QUEUE: usize = 4096;
/// How long a query may wait for its turn in a full queue.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says whether the server was there.
type Query = Box<dyn FnOnce(&mut AnyConnection) -> bool + Send>;

static BELL: Bell = Bell::new(Alert::DatabaseUnreachable);

/// The threads; they end when the pool is dropped.
pub(crate) struct Pool(Arc<Queue>);

/// What waits for a thread. One is woken for each query, and no other.
struct Queue {
    state: Mutex<State>,
    more: Condvar,
    room: Semaphore,
}

#[derive(Default)]
struct State {
    queries: VecDeque<Query>,
    is_closed: bool,
}

impl Queue {
    fn push(&self, query: Query) {
        self.state.lock().queries.push_back(query);
        self.more.notify_one();
    }
    /// The next one; none when nothing will come any more.
    fn pop(&self) -> Option<Query> {
        let mut state = self.state.lock();
        while state.queries.is_empty() && !state.is_closed {
            self.more.wait(&mut state);
        }
        let next = state.queries.pop_front()?;
        self.room.add_permits(1);
        Some(next)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.more.notify_all();
    }
}

impl Pool {
    pub(crate) fn start(connections: Vec<AnyConnection>, url: &Url) -> Result<Self> {
        let (state, more, room) = (Mutex::default(), Condvar::new(), Semaphore::new(QUEUE));
        // its threads end with it, also when not all of them could begin
        let pool = Self(Arc::new(Queue { state, more, room }));
        let losses = Arc::new(AtomicU64::new(0));
        for (n, connection) in connections.into_iter().enumerate() {
            let (queue, losses) = (pool.0.clone(), losses.clone());
            let mut link = Link { connection, url: url.clone(), losses, known: 0 };
            thread::Builder::new()
                .name(format!("db-{n}"))
                .spawn(move || work(&mut link, &queue))
                .map_err(Error::internal)?;
        }
        Ok(pool)
    }

    /// How many queries wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.0.state.lock().queries.len()
    }
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut AnyConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        // what it logs belongs to the request that asked
        let span = Span::current();
        let query: Query = Box::new(move |c| {
            // nobody may wait any longer: then the answer is dropped
            let outcome = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| query(c))));
            let outcome = outcome.unwrap_or_else(|_| Err(Error::internal("a query panicked")));
            let away = outcome.as_ref().is_err_and(is_away);
            let _ = answer.send(if away { Err(unreachable()) } else { outcome });
            !away
        });
        match timeout(PATIENCE, self.0.room.acquire()).await {
            // whoever takes the query makes room again
            Ok(Ok(room)) => room.forget(),
            _ => return Err(Error::unavailable("the database is overloaded: try again in a moment")),
        }
        self.0.push(query);
        answered.await.map_err(|_| Error::internal("a database thread ended"))?
    }
}

/// One thread's connection.
struct Link {
    connection: AnyConnection,
    url: Url,
    /// How often any thread has found that the server had gone: its restart has ended the others' connections, too.
    losses: Arc<AtomicU64>,
    /// How many of these this connection is newer than.
    known: u64,
}

impl Link {
    /// Opens the connection anew, if it may not be one any more.
    fn mend(&mut self) {
        let losses = self.losses.load(Relaxed);
        if self.known == losses && !self.connection.is_broken() {
            return;
        }
        match self.url.connect() {
            Ok(new) => (self.connection, self.known) = (new, losses),
            Err(error) => BELL.ring(|| error.to_string()),
        }
    }
    fn lost(&self) {
        // one loss that many threads notice is one; a thread that could not open its connection notices nothing new
        let _ = self.losses.compare_exchange(self.known, self.known + 1, Relaxed, Relaxed);
    }
}

fn work(link: &mut Link, queue: &Queue) {
    while let Some(query) = queue.pop() {
        link.mend();
        if !query(&mut link.connection) {
            link.lost();
        }
    }
}
