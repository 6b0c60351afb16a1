//! What identity does without being asked.

use crate::{attempts, enrolment, signer::Signer};
use cirro_models::{
    Context, Error, Id, Result, Timestamp,
    identity::{JoinToken, Revocation, join_token::jointoken_rows, revocation::revocation_rows},
    sql::{AnyConnection, Column, GuidValue, Table},
};
use cirro_server::{OwnerContext, Tx, token};
use diesel::prelude::*;
use std::time::Duration;
use uuid::{NoContext, Uuid};

/// How often there is a look.
const EVERY: Duration = Duration::from_secs(1);
/// The most rows that one transaction removes.
const AT_ONCE: i64 = 500;
/// How long a join token is shown after its end, in seconds.
const SHOWN_S: i64 = 24 * 3600;
/// How much the clocks of processes that make ids may differ, in seconds.
const DIFFERENCE_S: i64 = 60;

/// Runs until dropped: makes the next key that signs tokens in time, and drops revocations that have nothing
/// left to end, old join tokens, and failed logins of long ago. Whoever is late or twice does no harm.
pub async fn run(ctx: impl Fn() -> Context + Send) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = step(&ctx()).await {
            tracing::error!(error = &error as &dyn std::error::Error, "identity's own work failed; it is tried again");
        }
    }
}

/// One look.
pub async fn step(ctx: &Context) -> Result<()> {
    let (signer, database) = (ctx.stores().part::<Signer>()?, ctx.database()?);
    if !database.is_exclusive() {
        // another process may have made a key or taken one away
        signer.reload(&database).await?;
    }
    signer.renew(&database).await?;
    let now = signer.clock().now();
    for kind in ["user:", "node:"] {
        let before = now.plus_seconds(-token::kept_s(kind));
        let over = move |c: &mut AnyConnection| revocations(c, kind == "node:", before);
        drop_all::<Revocation>(ctx, over, drop_revocation).await?;
    }
    let before = now.plus_seconds(-SHOWN_S);
    drop_all::<JoinToken>(ctx, move |c| join_tokens(c, before), enrolment::drop_token).await?;
    attempts::sweep(&database, now).await
}

/// Drops what is over, a few rows at a time. What is found is gone afterwards, so this ends.
async fn drop_all<M: Table>(
    ctx: &Context,
    over: impl Fn(&mut AnyConnection) -> QueryResult<Vec<GuidValue>> + Clone + Send + 'static,
    remove: fn(&mut Tx<'_>, &M) -> Result<()>,
) -> Result<()> {
    loop {
        let over = over.clone();
        let found = ctx.database()?.read(move |c| over(c).map_err(Error::internal)).await?;
        if found.is_empty() {
            return Ok(());
        }
        let drop_found = move |tx: &mut Tx<'_>| {
            for id in &found {
                // another process may have been faster
                if let Some(row) = tx.find::<M>(Id::from_uuid(id.0))? {
                    remove(tx, &row)?;
                }
            }
            Ok(())
        };
        ctx.write(drop_found).await?;
    }
}

fn drop_revocation(tx: &mut Tx<'_>, row: &Revocation) -> Result<()> {
    tx.remove(row)
}

/// The oldest revocations, of nodes or of others, that were made before this moment. Ids grow with time: so younger ones
/// are not looked at, however many there are; and those of nodes, which stay for long, are few.
fn revocations(c: &mut AnyConnection, of_nodes: bool, before: Timestamp) -> QueryResult<Vec<GuidValue>> {
    use revocation_rows::{created_at, id, subject, table};
    let old = table.filter(id.lt(first_id_after(before)).and(created_at.lt(before.store())));
    let (old, page) = (old.select(id).order_by(id).limit(AT_ONCE), "node:%");
    if of_nodes { old.filter(subject.like(page)).load(c) } else { old.filter(subject.not_like(page)).load(c) }
}

/// The oldest join tokens that ended before this moment.
fn join_tokens(c: &mut AnyConnection, before: Timestamp) -> QueryResult<Vec<GuidValue>> {
    use jointoken_rows::{expires_at, id, table};
    let old = table.filter(id.lt(first_id_after(before)).and(expires_at.lt(before.store())));
    old.select(id).order_by(id).limit(AT_ONCE).load(c)
}

/// No row that was made up to this moment has an id as large as this: they are UUIDs of version 7 (RFC 9562 §5.7).
fn first_id_after(moment: Timestamp) -> GuidValue {
    let micros = moment.plus_seconds(DIFFERENCE_S).micros().max(0).unsigned_abs();
    let since = Duration::from_micros(micros);
    GuidValue(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos())))
}
