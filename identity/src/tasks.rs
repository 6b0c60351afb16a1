//! What identity does without being asked.

use crate::signer::Signer;
use cirro_models::{
    Context, Result,
    identity::{Revocation, revocation::RevocationFilter},
};
use cirro_server::{OwnerContext, token::KEPT_S};
use std::time::Duration;

/// How often there is a look.
const EVERY: Duration = Duration::from_secs(10);
/// The most rows that one transaction removes.
const AT_ONCE: i64 = 500;

/// Runs until dropped: drops revocations that have nothing left to end. Whoever is late or twice does no harm.
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
    let now = ctx.stores().part::<Signer>()?.clock().now();
    while drop_expired(ctx, now.plus_seconds(-KEPT_S)).await? {}
    Ok(())
}

/// Drops the oldest revocations that were made before this moment; says whether there may be more of them.
async fn drop_expired(ctx: &Context, before: cirro_models::Timestamp) -> Result<bool> {
    ctx.write(move |tx| {
        // ids grow with time, so the first ones are the oldest
        let oldest = tx.list::<Revocation>(&RevocationFilter::default(), AT_ONCE)?;
        let mut removed = 0;
        for row in oldest.iter().filter(|row| row.meta.created_at < before) {
            tx.remove(row)?;
            removed += 1;
        }
        Ok(removed == AT_ONCE)
    })
    .await
}
