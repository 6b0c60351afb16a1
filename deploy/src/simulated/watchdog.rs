//! The watchdog of a simulated machine: it stops the guests there when compute has not said for too long that they may go on. It
//! outlives the agent, as the real one does.

use async_trait::async_trait;
use cirro_node_agent_core::{
    failure::Result,
    guest::Guest,
    simulated::Simulated,
    watchdog::{self, Lease},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// How often it is looked whether anything runs that may not.
const TICK: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Watchdog {
    began: Instant,
    lease: Mutex<Lease>,
    longer: Notify,
}

impl Watchdog {
    pub(super) fn new(within: Duration) -> Self {
        Self { began: Instant::now(), lease: Mutex::new(Lease { within, until: None }), longer: Notify::new() }
    }
    /// Watches this machine for as long as it is there.
    pub(super) async fn watch(self: Arc<Self>, machine: Arc<Simulated>) {
        while !machine.is_lost() {
            let until = self.lease.lock().until;
            match until.map(|until| until.saturating_sub(self.began.elapsed())) {
                None => self.longer.notified().await,
                Some(rest) if rest.is_zero() => {
                    stop(&machine).await;
                    sleep(TICK).await;
                }
                // either ends this wait
                Some(rest) => drop(timeout(rest, self.longer.notified()).await),
            }
        }
    }
}

async fn stop(machine: &Simulated) {
    for guest in machine.look().guests.iter().filter(|guest| guest.state.is_on()).map(Guest::id) {
        match machine.destroy(guest).await {
            Ok(()) => tracing::info!(%guest, "a simulated watchdog has stopped a guest"),
            Err(failure) => tracing::debug!(reason = failure.with_causes(), "there was nothing to be stopped"),
        }
    }
}

#[async_trait]
impl watchdog::Watchdog for Watchdog {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }
    async fn within(&self) -> Option<Duration> {
        Some(self.lease.lock().within)
    }
    async fn extend(&self, asked: Duration, fresh: bool) -> Result<bool> {
        let good = self.lease.lock().extend(asked, fresh, self.began.elapsed());
        self.longer.notify_one();
        Ok(good)
    }
}
