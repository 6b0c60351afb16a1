//! Forgets what has served its time: entries of the feed, the answers that repeated requests would get, and jobs that are
//! done. The record of who did what stays.

use crate::db::{
    Database, Feed, database_error,
    tables::{change, job, request, site},
};
use cirro_models::{
    Result, Subject, Timestamp,
    choice::Choice,
    feed::Position,
    queue::JobState,
    sql::{AnyConnection, GuidValue},
};
use diesel::prelude::*;
use std::time::Duration;

/// How long the feed and answers are kept: readers that were away for longer list again, and a request that is repeated
/// later is a new one.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Under which name the last forgotten position is kept.
pub(super) const FORGOTTEN: &str = "feed_forgotten";
/// How many entries, answers and jobs one transaction forgets: others wait meanwhile.
const BATCH: i64 = 5000;

impl Database {
    /// Forgets what is more than a day old at this time. Cheap when there is nothing; several processes may do so at
    /// once.
    pub async fn forget(&self, by: &Subject, now: Timestamp) -> Result<()> {
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        let cutoff = now.micros().saturating_sub(kept);
        loop {
            let feed = self.feed().clone();
            let forgotten = self.write(by, None, move |tx| forget(tx.connection(), &feed, cutoff)).await?;
            if forgotten < BATCH {
                return Ok(());
            }
        }
    }
}

/// Forgets the oldest entries, answers and jobs, and says how many of the most numerous; the newest entry stays, so that the end
/// of the feed is known.
fn forget(c: &mut AnyConnection, feed: &Feed, cutoff: i64) -> Result<i64> {
    let end = feed.end(c)?;
    let before_end =
        change::xid.lt(end.transaction).or(change::xid.eq(end.transaction).and(change::seq.lt(end.sequence)));
    let old: Vec<(i64, i64)> = change::table
        .filter(change::at.lt(cutoff))
        .filter(before_end)
        .order((change::xid, change::seq))
        .select((change::xid, change::seq))
        .limit(BATCH)
        .load(c)
        .map_err(database_error)?;
    if let Some((xid, seq)) = old.last().copied() {
        let up_to = change::xid.lt(xid).or(change::xid.eq(xid).and(change::seq.le(seq)));
        diesel::delete(change::table.filter(up_to)).execute(c).map_err(database_error)?;
        diesel::delete(site::table.find(FORGOTTEN)).execute(c).map_err(database_error)?;
        let row = (site::key.eq(FORGOTTEN), site::value.eq(format!("{xid},{seq}")));
        diesel::insert_into(site::table).values(row).execute(c).map_err(database_error)?;
    }
    let answers = forget_answers(c, cutoff)?;
    let jobs = forget_jobs(c, cutoff)?;
    Ok(i64::try_from(old.len().max(answers).max(jobs)).unwrap_or(i64::MAX))
}

/// Forgets the oldest answers, and the keys that they were given for, and says how many. No key is kept without an answer.
fn forget_answers(c: &mut AnyConnection, cutoff: i64) -> Result<usize> {
    let over: Vec<GuidValue> = request::table
        .filter(request::answer.is_not_null())
        .filter(request::at.lt(cutoff))
        .order(request::at)
        .select(request::id)
        .limit(BATCH)
        .load(c)
        .map_err(database_error)?;
    let none = (request::key_hash.eq(None::<Vec<u8>>), request::answer.eq(None::<String>));
    diesel::update(request::table.filter(request::id.eq_any(over))).set(none).execute(c).map_err(database_error)
}

/// Forgets the jobs that were done first, and says how many. Dead ones are an Operator's to look at, however old.
fn forget_jobs(c: &mut AnyConnection, cutoff: i64) -> Result<usize> {
    let over: Vec<GuidValue> = job::table
        .filter(job::state.eq(JobState::Done.word()))
        .filter(job::ended_at.lt(cutoff))
        .order(job::ended_at)
        .select(job::id)
        .limit(BATCH)
        .load(c)
        .map_err(database_error)?;
    diesel::delete(job::table.filter(job::id.eq_any(over))).execute(c).map_err(database_error)
}

/// Whether entries after this position may have been forgotten.
pub(super) fn is_forgotten(c: &mut AnyConnection, position: Position) -> Result<bool> {
    let kept = site::table.find(FORGOTTEN).select(site::value).first::<String>(c).optional().map_err(database_error)?;
    let last = kept.as_deref().and_then(|text| text.split_once(','));
    let last = last.and_then(|(xid, seq)| Some((xid.parse::<i64>().ok()?, seq.parse::<i64>().ok()?)));
    Ok(last.is_some_and(|last| (position.transaction, position.sequence) < last))
}
