//! What compute does without being asked.

mod overdue;
mod silence;

use cirro_models::{Context, Result};
use std::time::Duration;

/// How often there is a look.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until dropped: ends states whose time is over, and notices nodes that fall silent. Whoever is late or twice does
/// no harm: every step reads and writes in one transaction.
pub async fn run(ctx: impl Fn() -> Context + Send) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let ctx = ctx();
        if let Err(error) = step(&ctx).await {
            tracing::error!(error = &error as &dyn std::error::Error, "compute's own work failed; it is tried again");
        }
    }
}

async fn step(ctx: &Context) -> Result<()> {
    overdue::step(ctx).await?;
    silence::step(ctx).await
}
