//! The change feed: every write's entry, in the order in which writes were committed.

use crate::db::{database_error, prune, tables::site};
use cirro_models::{
    Error, Generation, Result,
    choice::Choice,
    feed::{Change, ChangeKind, Position},
    sql::{AnyConnection, Column, GuidValue, types::Guid},
};
use diesel::{prelude::*, sql_query, sql_types as st};
use std::sync::{
    Arc, Weak,
    atomic::{AtomicI64, Ordering},
};
use tokio::sync::watch;

/// A database's change feed. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

/// A feed that may be gone.
pub(crate) struct WeakFeed(Weak<Inner>);

impl WeakFeed {
    pub(crate) fn upgrade(&self) -> Option<Feed> {
        self.0.upgrade().map(Feed)
    }
}

struct Inner {
    epoch: AtomicI64,
    /// The largest sequence that is known to be written, of a SQLite database.
    end: AtomicI64,
    /// Counts commits of this process; another process's are found by looking again.
    commits: watch::Sender<u64>,
    /// Counts those of them that enqueued a job, and those of other processes that were heard of.
    jobs: watch::Sender<u64>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = st::BigInt)]
    xid: i64,
    #[diesel(sql_type = st::BigInt)]
    seq: i64,
    #[diesel(sql_type = st::Text)]
    model: String,
    #[diesel(sql_type = Guid)]
    id: GuidValue,
    #[diesel(sql_type = st::BigInt)]
    version: i64,
    #[diesel(sql_type = st::Nullable<Guid>)]
    project_id: Option<GuidValue>,
    #[diesel(sql_type = st::Text)]
    kind: String,
}

#[derive(QueryableByName)]
struct End {
    #[diesel(sql_type = st::BigInt)]
    xid: i64,
    #[diesel(sql_type = st::BigInt)]
    seq: i64,
}

/// What is read of an entry.
const COLUMNS: &str = "SELECT xid, seq, model, id, version, project_id, kind FROM change";

impl Feed {
    /// Reads the epoch, or begins the first one.
    pub(crate) fn open(c: &mut AnyConnection) -> Result<Self> {
        let kept =
            site::table.find("epoch").select(site::value).first::<String>(c).optional().map_err(database_error)?;
        let epoch = if let Some(epoch) = kept.and_then(|epoch| epoch.parse().ok()) {
            epoch
        } else {
            // of several processes that start at once, the first one's counts
            begin_epoch(c, cirro_models::Timestamp::now().micros())?;
            let kept = site::table.find("epoch").select(site::value).first::<String>(c).map_err(database_error)?;
            kept.parse().map_err(Error::internal)?
        };
        Ok(Self(Arc::new(Inner {
            epoch: AtomicI64::new(epoch),
            end: AtomicI64::new(0),
            commits: watch::Sender::new(0),
            jobs: watch::Sender::new(0),
        })))
    }
    /// Changes when the database was put back to an earlier state.
    pub fn epoch(&self) -> i64 {
        self.0.epoch.load(Ordering::Acquire)
    }
    /// Notices that the database was put back to an earlier state: a reader holds a position of this epoch that has not
    /// been written yet. Then a new epoch begins, so that nobody takes what happens now for what happened then. Not for PostgreSQL.
    pub(crate) fn notice(&self, c: &mut AnyConnection, position: Position) -> Result<bool> {
        let end = self.end(c)?;
        let beyond = position.epoch == end.epoch && position > end;
        if beyond {
            let epoch = cirro_models::Timestamp::now().micros();
            diesel::update(site::table.find("epoch"))
                .set(site::value.eq(epoch.to_string()))
                .execute(c)
                .map_err(database_error)?;
            self.0.epoch.store(epoch, Ordering::Release);
            tracing::warn!(epoch, "feed.put_back: the database was put back to an earlier state; a new epoch begins");
        }
        Ok(beyond)
    }
    /// Whether it is known, without a query, that this position has been written. Not for PostgreSQL, whose positions are no single
    /// numbers.
    pub(crate) fn has_been_at(&self, position: Position) -> bool {
        position.epoch == self.epoch() && position.sequence <= self.0.end.load(Ordering::Acquire)
    }
    /// Remembers an end that was read outside of any change: what is not committed may not be written after all.
    pub(crate) fn was_at(&self, end: Position) {
        self.0.end.fetch_max(end.sequence, Ordering::Release);
    }
    /// The same, without keeping it alive.
    pub(crate) fn weak(&self) -> WeakFeed {
        WeakFeed(Arc::downgrade(&self.0))
    }
    /// Wakes readers.
    pub(crate) fn committed(&self) {
        self.0.commits.send_modify(|count| *count += 1);
    }
    /// Resolves each time something was committed in this process.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.0.commits.subscribe()
    }
    /// Wakes workers.
    pub(crate) fn enqueued(&self) {
        self.0.jobs.send_modify(|count| *count += 1);
    }
    /// Resolves each time a job was enqueued, as far as this process hears of it.
    pub(crate) fn jobs(&self) -> watch::Receiver<u64> {
        self.0.jobs.subscribe()
    }
    /// How many readers of this process wait for news.
    pub(crate) fn watching(&self) -> usize {
        self.0.commits.receiver_count()
    }
    /// How many entries are written and can't be read yet, because an older change is still under way.
    pub fn held_back(&self, c: &mut AnyConnection) -> Result<i64> {
        #[derive(QueryableByName)]
        struct Held {
            #[diesel(sql_type = st::BigInt)]
            count: i64,
        }
        match c {
            AnyConnection::Sqlite(_) => Ok(0),
            AnyConnection::Pg(c) => {
                let held =
                    "SELECT count(*) FROM change WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
                sql_query(held).get_result::<Held>(c).map(|held| held.count).map_err(database_error)
            }
        }
    }
    /// The position after everything that can be read now.
    pub fn end(&self, c: &mut AnyConnection) -> Result<Position> {
        let end = match c {
            AnyConnection::Sqlite(_) => "SELECT 0 AS xid, coalesce(max(seq), 0) AS seq FROM change",
            AnyConnection::Pg(_) => {
                // the inner limit is what lets the index answer: without it all entries would be read and sorted
                "SELECT xid, seq FROM (SELECT xid, seq FROM change \
                 WHERE xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY xid DESC, seq DESC LIMIT 1) \
                 AS last UNION ALL SELECT 0, 0 ORDER BY xid DESC, seq DESC LIMIT 1"
            }
        };
        let end: End = sql_query(end).get_result(c).map_err(database_error)?;
        Ok(Position { epoch: self.epoch(), transaction: end.xid, sequence: end.seq })
    }
    /// At most `limit` entries after a position.
    pub fn after(&self, c: &mut AnyConnection, position: Position, limit: i64) -> Result<Vec<Change>> {
        if position.epoch != self.epoch() {
            return Err(Error::Gone {
                detail:
                    "the database was put back to an earlier state since you read: list again, and watch from there"
                        .to_owned(),
            });
        }
        let rows: Vec<Row> = match c {
            AnyConnection::Sqlite(c) => sql_query(format!("{COLUMNS} WHERE seq > ? ORDER BY seq LIMIT ?"))
                .bind::<st::BigInt, _>(position.sequence)
                .bind::<st::BigInt, _>(limit)
                .load(c),
            AnyConnection::Pg(c) => sql_query(format!(
                "{COLUMNS} WHERE (xid, seq) > ($1, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
                 ORDER BY xid, seq LIMIT $3"
            ))
            .bind::<st::BigInt, _>(position.transaction)
            .bind::<st::BigInt, _>(position.sequence)
            .bind::<st::BigInt, _>(limit)
            .load(c),
        }
        .map_err(database_error)?;
        // asked afterwards: what is forgotten between the two questions is missed by nobody
        if prune::is_forgotten(c, position)? {
            return Err(Error::Gone {
                detail: "changes are kept for a day, and you read longer ago: list again, and watch from there"
                    .to_owned(),
            });
        }
        Ok(rows.into_iter().map(|row| self.read(row)).collect())
    }
    fn read(&self, row: Row) -> Change {
        Change {
            position: Position { epoch: self.epoch(), transaction: row.xid, sequence: row.seq },
            model: row.model,
            id: row.id.0,
            version: <Generation as Column>::load(row.version).unwrap_or_default(),
            project_id: row.project_id.map(|id| id.0),
            kind: ChangeKind::from_word(&row.kind),
        }
    }
}

/// Keeps an epoch, unless there is one.
fn begin_epoch(c: &mut AnyConnection, epoch: i64) -> Result<()> {
    let epoch = epoch.to_string();
    let kept = match c {
        AnyConnection::Sqlite(c) => sql_query("INSERT INTO site VALUES ('epoch', ?) ON CONFLICT (key) DO NOTHING")
            .bind::<st::Text, _>(epoch)
            .execute(c),
        AnyConnection::Pg(c) => sql_query("INSERT INTO site VALUES ('epoch', $1) ON CONFLICT (key) DO NOTHING")
            .bind::<st::Text, _>(epoch)
            .execute(c),
    };
    kept.map(drop).map_err(database_error)
}

/// How often another process's commits are looked for while a reader waits.
pub(crate) const LOOK: std::time::Duration = std::time::Duration::from_millis(500);
/// The most entries of one answer.
const ENTRIES: i64 = 500;
/// How much of a reader's time is left to bring it the answer, at most.
const TO_ANSWER: std::time::Duration = std::time::Duration::from_secs(2);
/// The longest wait of one answer.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(60);

impl Feed {
    /// The changes to rows of `M` that the caller may read, after a position, waiting at most `wait` for the first.
    pub(crate) async fn watch<M: cirro_models::sql::Table>(
        database: &crate::Database,
        ctx: &cirro_models::Context,
        after: Option<Position>,
        wait: std::time::Duration,
    ) -> Result<cirro_models::feed::Changes> {
        let feed = database.feed().clone();
        let reach = M::reach(ctx.subject(), cirro_models::permission::Operation::Read);
        // the answer needs some of the time too: what waits to the deadline is late in every store but this
        let left = ctx.remaining()?;
        let until = tokio::time::Instant::now() + wait.min(LONGEST).min(left.saturating_sub((left / 4).min(TO_ANSWER)));
        let mut commits = feed.commits();
        let mut position = match after {
            Some(position) => position,
            None => {
                database
                    .read({
                        let feed = feed.clone();
                        move |c| feed.end(c)
                    })
                    .await?
            }
        };
        loop {
            commits.mark_unchanged();
            let reader = feed.clone();
            let (items, end) = database.read(move |c| readable::<M>(c, &reader, position, &reach)).await?;
            position = end;
            if !items.is_empty() || tokio::time::Instant::now() >= until {
                return Ok(cirro_models::feed::Changes { items, position });
            }
            // a commit wakes us; another process's is found by looking
            let _ = tokio::time::timeout_at(until.min(tokio::time::Instant::now() + LOOK), commits.changed()).await;
        }
    }
}

/// The entries after a position that are about rows within reach, and where to go on.
fn readable<M: cirro_models::sql::Table>(
    c: &mut AnyConnection,
    feed: &Feed,
    position: Position,
    reach: &cirro_models::Reach,
) -> Result<(Vec<Change>, Position)> {
    let entries = feed.after(c, position, ENTRIES)?;
    let end = entries.last().map_or(position, |entry| entry.position);
    let ours = entries.into_iter().filter(|entry| entry.model == M::PATH).collect();
    Ok((may_know::<M>(c, reach, ours)?, end))
}

/// Those of these entries of `M` that are about rows within reach.
pub(crate) fn may_know<M: cirro_models::sql::Table>(
    c: &mut AnyConnection,
    reach: &cirro_models::Reach,
    ours: Vec<Change>,
) -> Result<Vec<Change>> {
    if *reach == cirro_models::Reach::All {
        return Ok(ours);
    }
    let ids: Vec<_> = ours.iter().map(|entry| cirro_models::Id::<M>::from_uuid(entry.id)).collect();
    let rows = M::select(c, &ids).map_err(database_error)?;
    let may_know = |entry: &Change| match (rows.iter().find(|row| row.id().uuid() == entry.id), reach) {
        (Some(row), reach) => row.within(reach),
        // the row is gone; who reached its project may know that
        (None, cirro_models::Reach::Project(project) | cirro_models::Reach::ProjectOrPublic(project)) => {
            entry.project_id == Some(project.uuid())
        }
        (None, _) => false,
    };
    Ok(ours.into_iter().filter(may_know).collect())
}
