//! Forgets what has served its time: entries of the feed, and the answers that repeated requests would get. The record
//! of who did what stays.

use crate::db::{
    Database, Feed, database_error,
    tables::{change, request, site},
};
use cirro_models::{Result, Subject, Timestamp, feed::Position, sql::AnyConnection};
use diesel::prelude::*;
use std::time::Duration;

/// How long the feed and answers are kept: readers that were away for longer list again, and a request that is repeated
/// later is a new one.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Under which name the last forgotten position is kept.
const FORGOTTEN: &str = "feed_forgotten";
/// How many entries one transaction forgets: others wait meanwhile.
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

/// Forgets the oldest entries and says how many; the newest one stays, so that the end of the feed is known.
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
    let none = (request::key_hash.eq(None::<Vec<u8>>), request::answer.eq(None::<String>));
    let over = request::table
        .filter(request::at.lt(cutoff))
        .filter(request::key_hash.is_not_null().or(request::answer.is_not_null()));
    diesel::update(over).set(none).execute(c).map_err(database_error)?;
    Ok(i64::try_from(old.len()).unwrap_or(i64::MAX))
}

/// Whether entries after this position may have been forgotten.
pub(super) fn is_forgotten(c: &mut AnyConnection, position: Position) -> Result<bool> {
    let kept = site::table.find(FORGOTTEN).select(site::value).first::<String>(c).optional().map_err(database_error)?;
    let last = kept.as_deref().and_then(|text| text.split_once(','));
    let last = last.and_then(|(xid, seq)| Some((xid.parse::<i64>().ok()?, seq.parse::<i64>().ok()?)));
    Ok(last.is_some_and(|last| (position.transaction, position.sequence) < last))
}
