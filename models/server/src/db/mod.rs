//! A service's own database, reached by no other service.
//!
//! Reads run on a few threads with a connection each. Writes on SQLite run on one thread, which gathers the closures
//! that are waiting into one durable commit; on PostgreSQL they run on the same threads as reads, each in a transaction
//! of its own that is repeated when it lost a race.

mod audit;
pub mod backup;
mod create;
mod feed;
mod fuse;
mod migrate;
mod notify;
mod open;
mod pool;
mod prune;
mod request;
pub(crate) mod tables;
mod tx;
mod usage;
mod wakes;
mod writer;

pub use create::create;
pub use feed::Feed;
#[cfg(feature = "testkit")]
pub use fuse::Side;
pub use migrate::Migrations;
pub use request::{RequestNote, requests_of};
pub use tx::Tx;
pub use wakes::{Concerned, Wakes};

use crate::{
    cache::{Cache, Caches},
    db::{fuse::Fuse, open::Url, pool::Pool, writer::Writer},
    histogram::{Counted, Histogram},
};
use cirro_models::{Error, Result, Subject, feed::Position, sql::AnyConnection};
use diesel::connection::SimpleConnection;
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use audit::list as audit;
pub(crate) use feed::{LOOK, may_know};
#[cfg(feature = "testkit")]
pub(crate) use open::{begin_openssl, postgres};
pub(crate) use request::Recorded;
pub(crate) use tx::open_once;

/// A service's own database. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    readers: Pool,
    writer: Option<Writer>,
    feed: Feed,
    caches: Arc<Caches>,
    commits: Arc<Histogram>,
    fuse: Arc<Fuse>,
    _lock: Option<File>,
}

/// How much a database has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Queries that wait for a connection; on PostgreSQL, changes too.
    pub queries: usize,
    /// Changes that wait for the writer of a SQLite database.
    pub writes: usize,
    /// How long it took to make changes durable.
    pub commits: Counted,
    /// Readers of the change feed that wait for news in this process.
    pub watching: usize,
}

/// What a refusal is noted with: the status that its caller was answered.
const REFUSED: i64 = 403;

/// How many connections read at once.
const READERS: usize = 4;

impl Database {
    /// Opens `sqlite:PATH` or `postgres://…` and brings its tables up to date.
    pub async fn open(url: &str, migrations: Migrations) -> Result<Self> {
        Self::open_keeping(url, migrations, None).await
    }
    /// The same; the copy that is taken before tables are changed goes to the folder `keep`. Without one, SQLite's goes
    /// beside its file, and PostgreSQL's tables are not changed.
    pub async fn open_keeping(url: &str, migrations: Migrations, keep: Option<PathBuf>) -> Result<Self> {
        let url = Url::parse(url)?;
        let open = move || Self::open_blocking(&url, migrations, keep.as_deref());
        tokio::task::spawn_blocking(open).await.map_err(Error::internal)?
    }
    fn open_blocking(url: &Url, migrations: Migrations, keep: Option<&Path>) -> Result<Self> {
        let lock = url.lock()?;
        let mut first = url.connect()?;
        migrations.run(&mut first, url, keep)?;
        let feed = Feed::open(&mut first)?;
        let sqlite = matches!(first, AnyConnection::Sqlite(_));
        let caches = Arc::new(Caches::default());
        if let Url::Postgres(url) = url {
            notify::start(url.clone(), &feed)?;
        }
        let readers = (0..READERS).map(|_| url.connect()).collect::<Result<Vec<_>>>()?;
        let commits = Arc::new(Histogram::default());
        let fuse = Arc::new(Fuse::default());
        let start = || Writer::start(first, feed.clone(), caches.clone(), commits.clone(), fuse.clone());
        let writer = sqlite.then(start).transpose()?;
        let readers = Pool::start(readers, url)?;
        Ok(Self(Arc::new(Inner { readers, writer, feed, caches, commits, fuse, _lock: lock })))
    }
    /// Whether one process owns the database, so that what is remembered of it stays true.
    pub fn is_exclusive(&self) -> bool {
        self.0.writer.is_some()
    }
    /// How much it has to do.
    pub fn load(&self) -> Load {
        Load {
            queries: self.0.readers.waiting(),
            writes: self.0.writer.as_ref().map_or(0, Writer::waiting),
            commits: self.0.commits.counted(),
            watching: self.0.feed.watching(),
        }
    }
    /// A cache of a model's rows that the writer keeps true, where one process owns the database.
    pub(crate) fn cache<V: Send + Sync + 'static>(&self, model: &'static str) -> Option<Arc<Cache<V>>> {
        self.is_exclusive().then(|| self.0.caches.add(model))
    }
    /// Runs a query.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut AnyConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.0.fuse.is_blown() {
            return Err(unreachable());
        }
        self.0.readers.run(query).await
    }
    /// Runs queries that all see the same state of the database; they write nothing.
    pub async fn snapshot<T: Send + 'static>(
        &self,
        queries: impl FnOnce(&mut AnyConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read(move |c| {
            let begin = match c {
                AnyConnection::Pg(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                AnyConnection::Sqlite(_) => "BEGIN",
            };
            c.batch_execute(begin).map_err(database_error)?;
            let outcome = queries(c);
            let ended = c.batch_execute("ROLLBACK").map_err(database_error);
            outcome.and_then(|found| ended.map(|()| found))
        })
        .await
    }
    /// Runs a change in one transaction with its feed entries and, for a request, its note. The closure may run more
    /// than once, so it must have no effect outside the transaction. No remote call fits into it: it can't wait.
    pub async fn write<T: Send + 'static>(
        &self,
        by: &Subject,
        note: Option<Arc<RequestNote>>,
        change: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let by = by.principal().to_string();
        if let Some(writer) = &self.0.writer {
            writer.run(by, note, change).await
        } else {
            let (feed, commits, fuse) = (self.0.feed.clone(), self.0.commits.clone(), self.0.fuse.clone());
            let change = move |c: &mut _| {
                let telling = writer::Telling { feed: &feed, commits: &commits, fuse: &fuse };
                writer::in_transaction(c, &by, note.as_deref(), &telling, change)
            };
            self.0.readers.run(change).await
        }
    }
    /// Notes a request that was refused for want of a right. One that can't be noted is refused all the same.
    pub(crate) async fn note_refusal(&self, by: &Subject, note: Arc<RequestNote>) {
        let record = move |tx: &mut Tx<'_>| note.record(tx.connection(), None, None, REFUSED, None).map(drop);
        if let Err(error) = self.write(by, None, record).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a refused request can't be noted");
        }
    }
    /// Tells the database of a position that a reader holds: one that has not been written yet proves that the database
    /// was put back to an earlier state, and begins a new epoch.
    pub async fn notice(&self, by: &Subject, position: Position) -> Result<()> {
        if !self.is_exclusive() {
            // PostgreSQL's end is what every running transaction lies behind, so only a whole epoch's lead is proof there
            return Ok(());
        }
        if self.0.feed.has_been_at(position) {
            return Ok(());
        }
        let feed = self.0.feed.clone();
        let end = self.read(move |c| feed.end(c)).await?;
        self.0.feed.was_at(end);
        if position.epoch != end.epoch || position <= end {
            return Ok(());
        }
        let feed = self.0.feed.clone();
        self.write(by, None, move |tx| feed.notice(tx.connection(), position).map(drop)).await
    }
    /// The change feed.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }
}

/// Whether PostgreSQL has chosen this transaction as the one to be repeated.
pub(crate) fn is_collision(error: &Error) -> bool {
    use diesel::result::{DatabaseErrorKind as Kind, Error as E};
    let Error::Internal { source } = error else { return false };
    match source.downcast_ref::<E>() {
        Some(E::DatabaseError(Kind::SerializationFailure, _)) => true,
        Some(E::DatabaseError(_, info)) => info.message().contains("deadlock detected"),
        _ => false,
    }
}

/// Whether this says that the database's server has gone, and with it the connection.
pub(crate) fn is_away(error: &Error) -> bool {
    use diesel::result::{DatabaseErrorKind as Kind, Error as E};
    // libpq has no code for most of these, only words
    const WORDS: [&str; 5] = [
        "no connection to the server",
        "closed the connection",
        "terminating connection",
        "could not receive data",
        "could not send data",
    ];
    let Error::Internal { source } = error else { return false };
    match source.downcast_ref::<E>() {
        Some(E::DatabaseError(Kind::ClosedConnection, _)) => true,
        Some(E::DatabaseError(_, info)) => WORDS.iter().any(|words| info.message().contains(words)),
        _ => false,
    }
}

/// What a caller is told then.
pub(crate) fn unreachable() -> Error {
    Error::unavailable("the database can't be reached just now: try again")
}

/// What a caller sees of a database error; what the log sees is its source.
pub fn database_error(error: diesel::result::Error) -> Error {
    use diesel::result::Error as E;
    match error {
        E::DatabaseError(_, ref info)
            if info.message().contains("disk is full") || info.message().contains("disk I/O") =>
        {
            tracing::error!(error = info.message(), "the database can't be written");
            Error::unavailable("the disk of the database is full or broken: free some room on it and try again")
        }
        other => Error::internal(other),
    }
}
