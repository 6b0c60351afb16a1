//! Writing. On SQLite one thread gathers what is waiting into one durable commit, each closure under a savepoint; on
//! PostgreSQL each closure is a transaction of its own.

use crate::{
    cache::{Caches, Written},
    db::{Feed, RequestNote, Tx, database_error, fuse::Fuse, is_collision, notify},
    histogram::Histogram,
};
use cirro_models::{Error, Result, sql::AnyConnection};
use diesel::connection::SimpleConnection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

/// How many writes may wait for the writer.
const QUEUE: usize = 4096;
/// How many writes one commit gathers: more would make the first of them wait for the last.
const GATHERED: usize = 128;
/// How often a closure that lost a race is run again.
const ATTEMPTS: usize = 100;
/// How long a write may wait for its turn in a full queue.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much nicer the writer is than the threads that answer and read (nice(2)): where all of them want a processor it has a tenth of
/// the weight of one of those. While much is launched it has half a processor's work, and whoever asks for a page would wait behind it.
/// The price is that many readers slow it down: docs/performance.md has figures of both.
const NICER: i32 = 10;

/// A write that waits: run it under a savepoint, and tell the outcome once the commit is durable.
trait Write: Send {
    fn run(&mut self, c: &mut AnyConnection) -> bool;
    /// The rows that it wrote.
    fn written(&mut self) -> Vec<Written>;
    /// Whether it enqueued a job.
    fn enqueued(&self) -> bool;
    fn tell(self: Box<Self>, committed: Result<()>);
}

struct Pending<T, F> {
    by: String,
    note: Option<Arc<RequestNote>>,
    change: F,
    outcome: Option<Result<T>>,
    written: Vec<Written>,
    enqueued: bool,
    /// What it logs belongs to the request that asked.
    span: Span,
    answer: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Result<T> + Send> Write for Pending<T, F> {
    fn run(&mut self, c: &mut AnyConnection) -> bool {
        let attempt = self.span.in_scope(|| attempt(c, &self.by, self.note.as_deref(), &mut self.change));
        let good = attempt.outcome.is_ok();
        self.outcome = Some(attempt.outcome);
        self.written = attempt.written;
        self.enqueued = good && attempt.enqueued;
        good
    }
    fn written(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.written)
    }
    fn enqueued(&self) -> bool {
        self.enqueued
    }
    fn tell(self: Box<Self>, committed: Result<()>) {
        let not_run = || Err(committed.clone().err().unwrap_or_else(|| Error::internal("a write was not run")));
        let outcome = self.outcome.unwrap_or_else(not_run);
        if let (Ok(_), Ok(()), Some(note)) = (&outcome, &committed, &self.note) {
            note.committed();
        }
        // nobody may wait any longer: the write counts all the same
        let _ = self.answer.send(outcome.and_then(|value| committed.map(|()| value)));
    }
}

/// What came of one run of a closure.
struct Attempt<T> {
    outcome: Result<T>,
    /// It should be run again on what is stored now.
    lost_race: bool,
    written: Vec<Written>,
    enqueued: bool,
}

/// One run of a closure. One that panics has failed like any other: the thread lives on.
fn attempt<T>(
    c: &mut AnyConnection,
    by: &str,
    note: Option<&RequestNote>,
    change: &mut impl FnMut(&mut Tx<'_>) -> Result<T>,
) -> Attempt<T> {
    let mut tx = Tx::new(c, by, note);
    let outcome = catch_unwind(AssertUnwindSafe(|| change(&mut tx).and_then(|value| tx.finish().map(|()| value))))
        .unwrap_or_else(|_| Err(Error::internal("a change panicked")));
    let lost_race = tx.lost_race || outcome.as_ref().is_err_and(is_collision);
    Attempt { outcome, lost_race, written: tx.written, enqueued: tx.enqueued }
}

/// The writer of a SQLite database; it ends when dropped.
pub(crate) struct Writer(mpsc::Sender<Box<dyn Write>>);

impl Writer {
    pub(crate) fn start(
        connection: AnyConnection,
        feed: Feed,
        caches: Arc<Caches>,
        commits: Arc<Histogram>,
        fuse: Arc<Fuse>,
    ) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let work = move || {
            // where that is refused it is a thread like the others
            let _ = rustix::process::nice(NICER);
            let telling = Telling { feed: &feed, commits: &commits, fuse: &fuse };
            work(connection, receiver, &caches, &telling);
        };
        thread::Builder::new().name("db-writer".to_owned()).spawn(work).map_err(Error::internal)?;
        Ok(Self(sender))
    }
    /// How many writes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        by: String,
        note: Option<Arc<RequestNote>>,
        change: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let span = Span::current();
        let pending = Pending { by, note, change, outcome: None, written: Vec::new(), enqueued: false, span, answer };
        let job: Box<dyn Write> = Box::new(pending);
        if self.0.send_timeout(job, PATIENCE).await.is_err() {
            return Err(Error::unavailable("the database has too many changes waiting: try again in a moment"));
        }
        answered.await.map_err(|_| Error::internal("the database writer ended"))?
    }
}

/// Who hears of a commit, and what may keep it from being one.
pub(crate) struct Telling<'t> {
    pub(crate) feed: &'t Feed,
    pub(crate) commits: &'t Histogram,
    pub(crate) fuse: &'t Fuse,
}

fn work(mut c: AnyConnection, mut queue: mpsc::Receiver<Box<dyn Write>>, caches: &Caches, telling: &Telling<'_>) {
    let mut waiting = Vec::with_capacity(GATHERED);
    while queue.blocking_recv_many(&mut waiting, GATHERED) > 0 {
        let (mut good, mut enqueued) = (false, false);
        let mut committed = c.batch_execute("BEGIN IMMEDIATE").map_err(database_error);
        if committed.is_ok() {
            for job in &mut waiting {
                good |= under_savepoint(&mut c, job.as_mut());
                enqueued |= job.enqueued();
            }
            // until the outcome is known nobody may remember these rows; they are open again before anybody is told
            let written: Vec<Written> = waiting.iter_mut().flat_map(|job| job.written()).collect();
            let changes = enqueued || !written.is_empty();
            let _closed = caches.close(written);
            let begun = Instant::now();
            committed = telling.fuse.commit(changes, || c.batch_execute("COMMIT")).map_err(database_error);
            telling.commits.add(begun.elapsed());
            if committed.is_err() {
                // already rolled back by some errors: then this one is refused, and that is right
                let _ = c.batch_execute("ROLLBACK");
            }
        }
        for job in waiting.drain(..) {
            job.tell(committed.clone());
        }
        if good {
            telling.feed.committed();
        }
        if enqueued && committed.is_ok() {
            telling.feed.enqueued();
        }
    }
}

fn under_savepoint(c: &mut AnyConnection, job: &mut dyn Write) -> bool {
    if c.batch_execute("SAVEPOINT job").is_err() {
        return false;
    }
    let good = job.run(c);
    let end = if good { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    c.batch_execute(end).is_ok() && good
}

/// A transaction of its own, repeated while it loses races.
pub(crate) fn in_transaction<T>(
    c: &mut AnyConnection,
    by: &str,
    note: Option<&RequestNote>,
    telling: &Telling<'_>,
    mut change: impl FnMut(&mut Tx<'_>) -> Result<T>,
) -> Result<T> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        c.batch_execute("BEGIN").map_err(database_error)?;
        let run = attempt(c, by, note, &mut change);
        // COMMIT answers success even where it rolls back; after a refused statement what stands before it does not
        let before = notify::words(!run.written.is_empty(), run.enqueued);
        let commit = |value| {
            let begun = Instant::now();
            let changes = !run.written.is_empty() || run.enqueued;
            let committed = telling.fuse.commit(changes, || c.batch_execute(&format!("{before}; COMMIT")));
            telling.commits.add(begun.elapsed());
            committed.map(|()| value).map_err(database_error)
        };
        match run.outcome.and_then(commit) {
            Ok(value) => {
                if let Some(note) = note {
                    note.committed();
                }
                if !run.written.is_empty() {
                    telling.feed.committed();
                }
                if run.enqueued {
                    telling.feed.enqueued();
                }
                return Ok(value);
            }
            Err(error) => {
                c.batch_execute("ROLLBACK").map_err(database_error)?;
                let again = run.lost_race || is_collision(&error);
                if !again || attempts == ATTEMPTS {
                    let busy =
                        || Error::unavailable("too much changes in the same place at once: try again in a moment");
                    return Err(if is_collision(&error) { busy() } else { error });
                }
            }
        }
    }
}
