//! Enqueuing a job in the transaction of its cause.

use crate::{
    db::{RequestNote, Tx, database_error, tables::job},
    queue::Job,
};
use cirro_models::{
    Error, Result, Timestamp,
    choice::Choice,
    queue::JobState,
    sql::{Both, GuidValue},
};
use diesel::prelude::*;
use uuid::Uuid;

/// The most jobs that wait: what causes more of them is refused, so that a queue nobody empties shows before it hurts.
const MOST: i64 = 10_000;
/// The longest payload, in bytes: ids, not the things themselves.
const LONGEST: usize = 16 * 1024;

impl Tx<'_> {
    /// Has a job done once this is committed, in the project and under the id of the request that is being answered; its
    /// worker is woken by the commit. Answers the job's id.
    pub fn enqueue<J: Job>(&mut self, work: &J) -> Result<Uuid> {
        let id = Uuid::now_v7();
        self.enqueue_as(id, work).map(|_| id)
    }
    /// The same under an id that follows from the cause, which makes it one job however often it is enqueued. Answers
    /// whether it was the first time.
    pub fn enqueue_as<J: Job>(&mut self, id: Uuid, work: &J) -> Result<bool> {
        let payload = serde_json::to_string(work).map_err(Error::internal)?;
        if payload.len() > LONGEST {
            return Err(Error::internal(format!("the payload of a job {} is longer than {LONGEST} bytes", J::KIND)));
        }
        self.require_room()?;
        let (now, note) = (Timestamp::now().micros(), self.note());
        let row = (
            job::id.eq(GuidValue(id)),
            job::kind.eq(J::KIND),
            job::payload.eq(payload),
            job::project_id.eq(note.and_then(RequestNote::project).map(|id| GuidValue(id.uuid()))),
            job::request_id.eq(note.map_or_else(|| Uuid::now_v7().to_string(), |note| note.request_id().to_owned())),
            job::state.eq(JobState::Waiting.word()),
            job::attempts.eq(0),
            job::due.eq(now),
            job::enqueued_at.eq(now),
        );
        let insert = Both(diesel::insert_into(job::table).values(row).on_conflict(job::id).do_nothing());
        let added = self.run(|c| insert.execute(c), database_error)? == 1;
        self.enqueued |= added;
        Ok(added)
    }
    fn require_room(&mut self) -> Result<()> {
        // the place after which there is no room: nothing is counted for it
        let last = job::table.filter(job::state.eq(JobState::Waiting.word())).select(job::id).offset(MOST - 1).limit(1);
        let full = self.run(|c| last.first::<GuidValue>(c).optional(), database_error)?.is_some();
        if full {
            return Err(Error::unavailable(format!(
                "{MOST} jobs wait in the queue of this service already, so nothing that makes more work is taken: have an \
                 operator look at `cirro site queue`, and try again later"
            )));
        }
        Ok(())
    }
}
