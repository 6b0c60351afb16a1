//! The certificates of many nodes, renewed by one task: thousands that each look every minute cost more than they do.

use cirro_client::Renewal;
use cirro_models::Timestamp;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often there is a look.
const EVERY: Duration = Duration::from_mins(1);

/// Renews each in time, until dropped.
pub(super) async fn run(mut all: Vec<Renewal>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for renewal in &mut all {
            let now = Timestamp::now();
            if renewal.due().is_ok_and(|due| now < due) {
                continue;
            }
            if let Err(error) = renewal.look(now).await {
                let error = &error as &dyn std::error::Error;
                tracing::info!(error, "a node's certificate can't be renewed yet; it is tried again in a minute");
            }
        }
    }
}
