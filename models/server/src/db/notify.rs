//! Hears of other processes' commits to the same PostgreSQL database, so that readers of the feed need not wait for
//! their next look. A lost word costs them that wait, never an entry.

use crate::db::{Feed, open::postgres};
use cirro_models::{Error, Result};
use diesel::{PgConnection, connection::SimpleConnection};
use std::{thread, time::Duration};

/// What is told of a transaction that has written rows.
const CHANGE: &str = "cirro_change";
/// What is told of one that has enqueued jobs.
const JOB: &str = "cirro_job";

/// What a transaction does before it ends. PostgreSQL sends it with the commit, to this database only.
pub(crate) fn words(written: bool, enqueued: bool) -> &'static str {
    match (written, enqueued) {
        (false, false) => "SELECT 1",
        (true, false) => "NOTIFY cirro_change",
        (false, true) => "NOTIFY cirro_job",
        (true, true) => "NOTIFY cirro_change; NOTIFY cirro_job",
    }
}

/// How often the connection is asked for what it was sent: diesel does not lend the socket that could be waited for.
const ASK: Duration = Duration::from_millis(20);
/// How long the database is left alone after it refused or ended the connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts the thread that listens; it ends when nobody has the feed any more.
pub(crate) fn start(url: String, feed: &Feed) -> Result<()> {
    let feed = feed.weak();
    let work = move || {
        let mut connection = None;
        while let Some(feed) = feed.upgrade() {
            let open = connection.take().or_else(|| listening(&url));
            connection = open.and_then(|mut open| heard(&mut open, &feed).map(|()| open));
            drop(feed);
            thread::sleep(if connection.is_some() { ASK } else { PAUSE });
        }
    };
    thread::Builder::new().name("db-listen".to_owned()).spawn(work).map_err(Error::internal).map(drop)
}

/// A connection that is told of commits; none while the database can't be reached, which its other users report.
fn listening(url: &str) -> Option<PgConnection> {
    let mut connection = postgres(url).ok()?;
    connection.batch_execute(&format!("LISTEN {CHANGE}; LISTEN {JOB}")).ok().map(|()| connection)
}

/// Wakes readers and workers if the connection was told of commits; none if it has ended.
fn heard(connection: &mut PgConnection, feed: &Feed) -> Option<()> {
    let (mut changed, mut enqueued) = (false, false);
    for told in connection.notifications_iter() {
        let told = told.ok()?;
        changed |= told.channel == CHANGE;
        enqueued |= told.channel == JOB;
    }
    if changed {
        feed.committed();
    }
    if enqueued {
        feed.enqueued();
    }
    Some(())
}
