//! A worker's hold on a job: taken, renewed, and ended by success or failure.

use crate::{
    db::{Tx, database_error, tables::job},
    queue::{Works, backoff},
};
use cirro_models::{
    Error, Id, Result, Timestamp,
    choice::Choice,
    identity::Project,
    queue::JobState,
    sql::{AnyConnection, GuidValue},
};
use diesel::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// The longest reason that is kept of a failure, in characters.
const LONGEST_REASON: usize = 1000;
/// Why a job is dead whose workers never told how it went.
const WORKERS_DIED: &str =
    "the process that ran it ended or stood still each time: look at the logs of those that ran it";

/// A job that a worker has taken, and the lease that says so.
#[derive(Debug, Clone)]
pub struct Taken {
    id: Uuid,
    lease: Uuid,
    attempt: i64,
    /// Whether its work has ended it: then the lease is gone, and nobody has taken it away.
    ended: Arc<AtomicBool>,
}

impl Taken {
    /// The job's id: the same in each attempt.
    pub fn id(&self) -> Uuid {
        self.id
    }
    /// The first attempt is 1.
    pub fn attempt(&self) -> i64 {
        self.attempt
    }
    /// Ends the job in the transaction of its effect. Refused when the lease has passed to another worker: then nothing of
    /// this transaction happens, and the other one's does.
    pub fn finish(&self, tx: &mut Tx<'_>) -> Result<()> {
        if self.end(tx, &JobState::Done, None)? {
            self.ended.store(true, Ordering::Release);
            return Ok(());
        }
        Err(Error::conflict(format!(
            "job {} was taken by another worker, because this one was silent for too long",
            self.id
        )))
    }
    /// Whether its work has ended it itself, or was about to.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
    /// Makes the lease last until this moment; says whether it is still ours.
    pub(super) fn renew(&self, tx: &mut Tx<'_>, until: i64) -> Result<bool> {
        tx.run(|c| diesel::update(ours(self)).set(job::due.eq(until)).execute(c), database_error).map(|rows| rows == 1)
    }
    /// Has it tried again later, or gives it up after the last attempt: says whether it is dead now.
    pub(super) fn fail(&self, tx: &mut Tx<'_>, reason: &str, attempts: i64, now: i64) -> Result<bool> {
        if self.attempt >= attempts {
            return self.end(tx, &JobState::Dead, Some(reason));
        }
        let due = later(now, backoff::after(self.attempt, fastrand::f64()));
        let waiting = (
            job::state.eq(JobState::Waiting.word()),
            job::due.eq(due),
            job::lease.eq(None::<GuidValue>),
            job::error.eq(shortened(reason)),
        );
        tx.run(|c| diesel::update(ours(self)).set(waiting).execute(c), database_error).map(|_| false)
    }
    /// Ends it, if the lease is still ours; says whether it was.
    fn end(&self, tx: &mut Tx<'_>, state: &JobState, reason: Option<&str>) -> Result<bool> {
        let ended = (
            job::state.eq(state.word()),
            job::lease.eq(None::<GuidValue>),
            job::error.eq(reason.map(shortened)),
            job::ended_at.eq(Timestamp::now().micros()),
        );
        tx.run(|c| diesel::update(ours(self)).set(ended).execute(c), database_error).map(|rows| rows == 1)
    }
    /// Ends it if its work has not done so itself.
    pub(super) fn finish_if_ours(&self, tx: &mut Tx<'_>) -> Result<bool> {
        self.end(tx, &JobState::Done, None)
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
fn ours(taken: &Taken) -> _ {
    let id: GuidValue = GuidValue(taken.id);
    let lease: GuidValue = GuidValue(taken.lease);
    job::table.filter(job::id.eq(id)).filter(job::lease.eq(lease))
}

fn shortened(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}

/// So much later, in microseconds after 1970.
pub(super) fn later(now: i64, by: Duration) -> i64 {
    now.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

/// A job with what its worker needs.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) taken: Taken,
    pub(super) kind: String,
    pub(super) payload: String,
    pub(super) project: Option<Id<Project>>,
    pub(super) request_id: String,
}

/// What came of taking jobs.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Those that are to be run.
    pub(super) taken: Vec<Assignment>,
    /// Those that were given up, because each of their workers died: kind and id.
    pub(super) dead: Vec<(String, Uuid)>,
}

type Row = (GuidValue, String, String, Option<GuidValue>, String, i64);

/// Takes at most `room` of the jobs that are due and of known kinds, the longest due first, until `until`.
pub(super) fn take(tx: &mut Tx<'_>, works: &Works, now: i64, until: i64, room: i64) -> Result<Round> {
    let due = tx.run(|c| due(c, works, now, room), database_error)?;
    let mut round = Round::default();
    for (id, kind, payload, project, request_id, attempts) in due {
        let taken = Taken { id: id.0, lease: Uuid::now_v7(), attempt: attempts + 1, ended: Arc::default() };
        if works.of(&kind).is_none_or(|work| attempts >= work.attempts()) {
            bury(tx, id)?;
            round.dead.push((kind, id.0));
            continue;
        }
        let running = (
            job::state.eq(JobState::Running.word()),
            job::lease.eq(GuidValue(taken.lease)),
            job::due.eq(until),
            job::attempts.eq(taken.attempt),
        );
        tx.run(|c| diesel::update(job::table.find(id)).set(running).execute(c), database_error)?;
        let project = project.map(|project| Id::from_uuid(project.0));
        round.taken.push(Assignment { taken, kind, payload, project, request_id });
    }
    Ok(round)
}

/// The jobs that may be taken. On PostgreSQL they are locked, and those that another worker is just taking are passed over;
/// on SQLite there is one writer.
fn due(c: &mut AnyConnection, works: &Works, now: i64, room: i64) -> QueryResult<Vec<Row>> {
    let query = job::table
        .filter(job::state.eq_any([JobState::Waiting.word().to_owned(), JobState::Running.word().to_owned()]))
        .filter(job::due.le(now))
        .filter(job::kind.eq_any(works.kinds()))
        .order(job::due)
        .limit(room)
        .select((job::id, job::kind, job::payload, job::project_id, job::request_id, job::attempts));
    match c {
        AnyConnection::Sqlite(c) => query.load(c),
        AnyConnection::Pg(c) => query.for_update().skip_locked().load(c),
    }
}

fn bury(tx: &mut Tx<'_>, id: GuidValue) -> Result<()> {
    let dead = (
        job::state.eq(JobState::Dead.word()),
        job::lease.eq(None::<GuidValue>),
        job::error.eq(WORKERS_DIED),
        job::ended_at.eq(Timestamp::now().micros()),
    );
    tx.run(|c| diesel::update(job::table.find(id)).set(dead).execute(c), database_error).map(drop)
}

/// Whether there is a job to take; and, when there is none, the kinds of those that this release leaves.
pub(super) fn look(c: &mut AnyConnection, works: &Works, now: i64) -> Result<(bool, Vec<String>)> {
    let due = || {
        job::table
            .filter(job::state.eq_any([JobState::Waiting.word().to_owned(), JobState::Running.word().to_owned()]))
            .filter(job::due.le(now))
    };
    let known = due().filter(job::kind.eq_any(works.kinds())).select(job::id).limit(1);
    if known.first::<GuidValue>(c).optional().map_err(database_error)?.is_some() {
        return Ok((true, Vec::new()));
    }
    let unknown = due().filter(job::kind.ne_all(works.kinds())).select(job::kind).distinct().limit(10);
    Ok((false, unknown.load(c).map_err(database_error)?))
}
