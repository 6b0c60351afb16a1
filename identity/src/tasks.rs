//! What identity does without being asked.

use crate::signer::Signer;
use cirro_models::{
    Context, Error, Reach, Result, Timestamp,
    identity::{Revocation, revocation::RevocationFilter},
    sql::Table,
};
use cirro_server::{Database, OwnerContext, token::KEPT_S};
use std::time::Duration;

/// How often there is a look.
const EVERY: Duration = Duration::from_secs(1);
/// The most rows that one transaction removes.
const AT_ONCE: i64 = 500;

/// Runs until dropped: makes the next key that signs tokens in time, and drops revocations that have nothing
/// left to end. Whoever is late or twice does no harm.
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
    let before = signer.clock().now().plus_seconds(-KEPT_S);
    while has_expired(&database, before).await? {
        drop_expired(ctx, before).await?;
    }
    Ok(())
}

/// Whether the oldest revocation was made before this moment. Ids grow with time, so it is the first one.
async fn has_expired(database: &Database, before: Timestamp) -> Result<bool> {
    let first = |c: &mut _| Revocation::page(c, &RevocationFilter::default(), &Reach::All, None, 1);
    let oldest = database.read(move |c| first(c).map_err(Error::internal)).await?;
    Ok(oldest.first().is_some_and(|row| row.meta.created_at < before))
}

/// Drops the oldest revocations that were made before this moment.
async fn drop_expired(ctx: &Context, before: Timestamp) -> Result<()> {
    ctx.write(move |tx| {
        let oldest = tx.list::<Revocation>(&RevocationFilter::default(), AT_ONCE)?;
        oldest.iter().filter(|row| row.meta.created_at < before).try_for_each(|row| tx.remove(row))
    })
    .await
}
