//! What the processes of a site have counted together.

use super::{Limit, WINDOW};
use crate::signer::database_time;
use cirro_models::{
    Error, Result, Service, Timestamp,
    sql::{AnyConnection, Both},
};
use cirro_server::{Database, Tx, controller::service_subject, token::Clock};
use diesel::prelude::*;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Text, BigInt};
        login_count (name) { name -> Text, failures -> BigInt, since_us -> BigInt, }
    }
    diesel::table! {
        use cirro_models::sql::types::{Text, BigInt};
        login_place (name) { name -> Text, at_us -> BigInt, }
    }
}
use tables::{login_count, login_place};

/// Whoever tells counts does so alone: two at once would take the same turn.
const LOCK: i64 = 0x6c6f_6769_6e73;
/// How long a place is known after the last login, in seconds.
const KNOWN_S: i64 = 30 * 86_400;
/// The most rows that one transaction removes.
const AT_ONCE: i64 = 500;

/// What all have counted.
pub(super) struct Heard {
    pub(super) failures: i64,
    /// How long ago the first was.
    pub(super) age: Duration,
    /// Whether this has kept an attempt from entering.
    pub(super) full: bool,
    /// Grows with each answer of the database to this process, in the order in which it was asked.
    pub(super) order: u64,
}

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(error)
}

/// Adds what was counted elsewhere to what is kept. With `enters`, an attempt is counted too, unless one of the limits is
/// reached. `order` numbers the answers.
pub(super) fn tell(
    tx: &mut Tx<'_>,
    clock: &Clock,
    limits: &[Limit],
    ahead: &[i64],
    enters: bool,
    order: &AtomicU64,
) -> Result<Vec<Heard>> {
    tx.exclusive(LOCK)?;
    let order = order.fetch_add(1, Ordering::Relaxed) + 1;
    let c = tx.connection();
    let now = database_time(c, clock)?.micros();
    let window = i64::try_from(WINDOW.as_micros()).map_err(Error::internal)?;
    let names = limits.iter().map(|limit| limit.name.as_str());
    let rows: Vec<(String, i64, i64)> =
        login_count::table.filter(login_count::name.eq_any(names)).load(c).map_err(failed)?;
    let rows: HashMap<String, (i64, i64)> =
        rows.into_iter().map(|(name, failures, since)| (name, (failures, since))).collect();
    let live = |limit: &Limit| rows.get(&limit.name).copied().filter(|(_, since)| now - since < window);
    let mut counts: Vec<(i64, i64)> = limits.iter().map(|limit| live(limit).unwrap_or((0, now))).collect();
    counts.iter_mut().zip(ahead).for_each(|((failures, _), more)| *failures = (*failures + more).max(0));
    let full: Vec<bool> =
        limits.iter().zip(&counts).map(|(limit, (failures, _))| enters && *failures >= limit.most).collect();
    let entered = enters && !full.contains(&true);
    for ((limit, (failures, since)), more) in limits.iter().zip(&mut counts).zip(ahead) {
        let turn = i64::from(entered && limit.at_once);
        *failures += turn;
        // what is closed is asked about often, and then nothing is written
        if turn + more != 0 {
            keep(c, &limit.name, *failures, *since)?;
        }
    }
    let age = |since: i64| Duration::from_micros(u64::try_from(now - since).unwrap_or(0));
    let heard = counts.into_iter().zip(full);
    Ok(heard.map(|((failures, since), full)| Heard { failures, age: age(since), full, order }).collect())
}

fn keep(c: &mut AnyConnection, name: &str, failures: i64, since_us: i64) -> Result<()> {
    let set = (login_count::failures.eq(failures), login_count::since_us.eq(since_us));
    let insert = diesel::insert_into(login_count::table).values((login_count::name.eq(name), set));
    Both(insert.on_conflict(login_count::name).do_update().set(set)).execute(c).map(drop).map_err(failed)
}

/// Notes that an account was logged in to at a place, in the transaction of that.
pub(crate) fn note_place(c: &mut AnyConnection, place: &str, at: Timestamp) -> Result<()> {
    let at = login_place::at_us.eq(at.micros());
    let insert = diesel::insert_into(login_place::table).values((login_place::name.eq(place), at));
    Both(insert.on_conflict(login_place::name).do_update().set(at)).execute(c).map(drop).map_err(failed)
}

/// Whether it was.
pub(super) fn is_place(c: &mut AnyConnection, place: &str) -> Result<bool> {
    let found = login_place::table.find(place).select(login_place::at_us).first::<i64>(c).optional();
    found.map(|at| at.is_some()).map_err(failed)
}

/// How many counts there are.
#[cfg(test)]
pub(super) fn rows(c: &mut AnyConnection) -> Result<i64> {
    login_count::table.count().get_result(c).map_err(failed)
}

/// Forgets what counts no more.
pub(crate) async fn sweep(database: &Database, now: Timestamp) -> Result<()> {
    // the clocks of processes may differ by one more window
    let counts = now.micros() - 2 * i64::try_from(WINDOW.as_micros()).map_err(Error::internal)?;
    let places = now.plus_seconds(-KNOWN_S).micros();
    loop {
        let over = move |c: &mut AnyConnection| {
            let count = login_count::table.filter(login_count::since_us.lt(counts)).select(login_count::name);
            let place = login_place::table.filter(login_place::at_us.lt(places)).select(login_place::name);
            let count: Vec<String> = count.limit(AT_ONCE).load(c).map_err(failed)?;
            Ok((count, place.limit(AT_ONCE).load::<String>(c).map_err(failed)?))
        };
        let (old, gone) = database.read(over).await?;
        if old.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let forget = move |tx: &mut Tx<'_>| {
            tx.exclusive(LOCK)?;
            let old = login_count::table.filter(login_count::name.eq_any(&old).and(login_count::since_us.lt(counts)));
            diesel::delete(old).execute(tx.connection()).map_err(failed)?;
            let gone = login_place::table.filter(login_place::name.eq_any(&gone).and(login_place::at_us.lt(places)));
            diesel::delete(gone).execute(tx.connection()).map(drop).map_err(failed)
        };
        database.write(&service_subject(Service::Identity), None, forget).await?;
    }
}
