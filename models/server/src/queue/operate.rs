//! What an Operator sees of a service's queue, and does to it.

use crate::{
    db::{Database, RequestNote, Tx, database_error, tables::job},
    queue::Works,
};
use cirro_models::{
    Error, Id, Listing, Page, Result, Subject, Timestamp,
    choice::Choice,
    queue::{JobFilter, JobState, QueuedJob},
    sql::{AnyConnection, GuidValue, MultiBackend},
};
use diesel::prelude::*;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// What may be done to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Have a dead one tried again, as often as a new one.
    Requeue,
    /// Forget one that is dead, or that this release does not know.
    Drop,
}

/// The columns, in the order of [`QueuedJob`].
type Row = (GuidValue, String, String, String, Option<GuidValue>, String, i64, Option<String>, i64, i64, Option<i64>);
const ROW: (
    job::id,
    job::kind,
    job::payload,
    job::state,
    job::project_id,
    job::request_id,
    job::attempts,
    job::error,
    job::enqueued_at,
    job::due,
    job::ended_at,
) = (
    job::id,
    job::kind,
    job::payload,
    job::state,
    job::project_id,
    job::request_id,
    job::attempts,
    job::error,
    job::enqueued_at,
    job::due,
    job::ended_at,
);

/// The jobs that meet the filter, by id, which is the order in which most were enqueued.
pub(crate) async fn list(database: &Database, filter: JobFilter, page: &Page) -> Result<Listing<QueuedJob>> {
    let (limit, after) = (page.limit()?, page.after()?);
    let read = move |c: &mut AnyConnection| {
        let mut query = job::table.select(ROW).order(job::id).limit(limit + 1).into_boxed::<MultiBackend>();
        if let Some(after) = after.map(|id: Id<QueuedJob>| id.uuid()) {
            query = query.filter(job::id.gt(GuidValue(after)));
        }
        if let Some(state) = filter.state {
            query = query.filter(job::state.eq(state.word().to_owned()));
        }
        if let Some(kind) = filter.kind {
            query = query.filter(job::kind.eq(kind));
        }
        query.load::<Row>(c).map_err(database_error)
    };
    let mut items: Vec<_> = database.read(read).await?.into_iter().map(told).collect();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Listing { items, next })
}

/// The job with this id.
pub(crate) async fn get(database: &Database, id: Uuid) -> Result<QueuedJob> {
    database.read(move |c| find(c, id)).await
}

/// Requeues or drops a job, once per key: answers it as it is afterwards, or was.
pub(crate) async fn operate(
    database: &Database,
    works: &Works,
    by: &Subject,
    note: RequestNote,
    (operation, id): (Operation, Uuid),
) -> Result<QueuedJob> {
    let (note, works) = (Arc::new(note), works.clone());
    if let Some(answer) = answered(database, &note).await? {
        return Ok(answer);
    }
    let change = move |tx: &mut Tx<'_>| {
        let found = find(tx.connection(), id)?;
        let (status, after) = match operation {
            Operation::Requeue => (200, requeue(tx, found)?),
            Operation::Drop => (204, drop_for_good(tx, &works, found)?),
        };
        tx.answer_with(id, status, serde_json::to_value(&after).map_err(Error::internal)?);
        Ok(after)
    };
    match database.write(by, Some(note.clone()), change).await {
        // a racing request with the same key may have won; then its answer is ours
        Err(error) => answered(database, &note).await?.ok_or(error),
        done => done,
    }
}

/// What a request with the same key was answered before.
async fn answered(database: &Database, note: &Arc<RequestNote>) -> Result<Option<QueuedJob>> {
    if !note.has_key() {
        return Ok(None);
    }
    let note = note.clone();
    let recorded = database.read(move |c| note.find(c)).await?;
    let answer = recorded.and_then(|recorded| recorded.answer);
    let read = |text: String| -> serde_json::Result<QueuedJob> {
        let mut kept: Value = serde_json::from_str(&text)?;
        serde_json::from_value(kept["model"].take())
    };
    answer.map(read).transpose().map_err(Error::internal)
}

fn requeue(tx: &mut Tx<'_>, found: QueuedJob) -> Result<QueuedJob> {
    require(&found, found.state == JobState::Dead, "only a dead job is requeued")?;
    let now = Timestamp::now();
    let waiting = (
        job::state.eq(JobState::Waiting.word()),
        job::attempts.eq(0),
        job::due.eq(now.micros()),
        job::ended_at.eq(None::<i64>),
    );
    let dead = job::table.find(GuidValue(found.id)).filter(job::state.eq(JobState::Dead.word()));
    let changed = tx.run(|c| diesel::update(dead).set(waiting).execute(c), database_error)?;
    require(&found, changed == 1, "somebody else has just requeued or dropped it")?;
    tx.enqueued = true;
    Ok(QueuedJob { state: JobState::Waiting, attempts: 0, due_at: now, ended_at: None, ..found })
}

fn drop_for_good(tx: &mut Tx<'_>, works: &Works, found: QueuedJob) -> Result<QueuedJob> {
    let unknown = found.state == JobState::Waiting && works.of(&found.kind).is_none();
    require(&found, found.state == JobState::Dead || unknown, "only a dead job is dropped")?;
    let stored = job::table.find(GuidValue(found.id)).filter(job::state.eq(found.state.word().to_owned()));
    let gone = tx.run(|c| diesel::delete(stored).execute(c), database_error)?;
    require(&found, gone == 1, "somebody else has just requeued or dropped it")?;
    Ok(found)
}

fn require(found: &QueuedJob, so: bool, rule: &str) -> Result<()> {
    if so {
        return Ok(());
    }
    let QueuedJob { id, kind, state, .. } = found;
    Err(Error::conflict(format!("job {id} ({kind}) is {state}, and {rule}: look at it again with `cirro site queue`")))
}

fn find(c: &mut AnyConnection, id: Uuid) -> Result<QueuedJob> {
    let row = job::table.find(GuidValue(id)).select(ROW).first::<Row>(c).optional().map_err(database_error)?;
    row.map(told).ok_or_else(|| Error::not_found("job", id))
}

fn told(
    (id, kind, payload, state, project, request_id, attempts, error, enqueued_at, due, ended_at): Row,
) -> QueuedJob {
    QueuedJob {
        id: id.0,
        kind,
        // one that is no JSON is shown as the text that it is
        payload: serde_json::from_str(&payload).unwrap_or(Value::String(payload)),
        state: JobState::from_word(&state),
        project_id: project.map(|project| Id::from_uuid(project.0)),
        request_id,
        attempts,
        error,
        enqueued_at: Timestamp::from_micros(enqueued_at),
        due_at: Timestamp::from_micros(due),
        ended_at: ended_at.map(Timestamp::from_micros),
    }
}
