//! What compute does without being asked.

mod overdue;
mod silence;

use crate::launch::{self, Expansion};
use cirro_models::{Context, Result};
use std::time::{Duration, Instant};

/// How often there is a look.
const EVERY: Duration = Duration::from_secs(1);

/// How often plans are looked after while one of them moves.
const PLANS: Duration = Duration::from_millis(100);

/// Counting a large plan's instances takes a while, in which nothing else is written: the pause is this many times as long.
const TIMES: u32 = 10;

/// The longest such pause.
const LONGEST: Duration = Duration::from_secs(2);

/// Runs until dropped: ends states whose time is over, notices nodes that fall silent, makes what is to come of large launch plans, and
/// looks after all of them.
/// Whoever is late or twice does no harm: every step reads and writes in one transaction.
pub async fn run(ctx: impl Fn() -> Context + Send + Sync) {
    tokio::join!(instances_and_nodes(&ctx), plans(&ctx), expansion(&ctx));
}

async fn plans(ctx: &(impl Fn() -> Context + Sync)) {
    loop {
        let ctx = ctx();
        let pause = match launch::tend(&ctx).await {
            Ok(Some(took)) => PLANS.max((took * TIMES).min(LONGEST)),
            Ok(None) => {
                match ctx.stores().part::<Expansion>() {
                    Ok(expansion) => expansion.woken_to_tend(EVERY).await,
                    Err(_) => tokio::time::sleep(EVERY).await,
                }
                continue;
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "launch plans can't be looked after; it is tried again"
                );
                EVERY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Without a pause while there is something to be made: each step is a write among the others that wait.
async fn expansion(ctx: &(impl Fn() -> Context + Sync)) {
    loop {
        let ctx = ctx();
        match launch::expand(&ctx).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the instances of large launch plans can't be made; it is tried again"
            ),
        }
        match ctx.stores().part::<Expansion>() {
            Ok(expansion) => expansion.woken(EVERY).await,
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

async fn instances_and_nodes(ctx: &(impl Fn() -> Context + Sync)) {
    let mut looked = None;
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let ctx = ctx();
        if let Err(error) = step(&ctx, &mut looked).await {
            tracing::error!(error = &error as &dyn std::error::Error, "compute's own work failed; it is tried again");
        }
    }
}

async fn step(ctx: &Context, looked: &mut Option<Instant>) -> Result<()> {
    overdue::step(ctx).await?;
    let every = silence::every(ctx)?;
    if looked.is_some_and(|at| at.elapsed() < every) {
        return Ok(());
    }
    *looked = Some(Instant::now());
    silence::step(ctx).await
}
