//! Asks both services for their orders, again and again, and keeps the latest. A service that can't be reached changes
//! nothing: what was ordered last stays ordered.

use crate::{control_plane::ControlPlane, desired::Instances, pulse::Listener};
use cirro_models::{Result, storage::assignment::StorageAssignment};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch::Sender;

/// The pause after the first question that failed; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A control plane that is back is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The least time between two answers that say the same: a service that does not hold the question open must not be
/// asked without pause.
const SAME_ANSWER_PAUSE: Duration = Duration::from_millis(200);
/// How often all orders are asked for, although nothing is said to be new: an order that got lost on its way is found.
const ALL_AGAIN: Duration = Duration::from_mins(15);

/// Follows compute's orders until nobody listens any more.
pub async fn instances(
    from: Arc<dyn ControlPlane>,
    wait: Duration,
    mut wheel: Listener,
    into: Sender<Option<Arc<Instances>>>,
) {
    let mut pace = Pace::new("compute");
    while !into.is_closed() {
        wheel.alive().await;
        let before = into.borrow().clone();
        let whole = before.as_ref().is_none_or(|known| known.lacks_a_body());
        let since = before.as_ref().filter(|_| !whole).map(|known| known.revision.as_str());
        let answer = from.compute_assignment(since, pace.patience(wait)).await;
        let answer = answer.and_then(|answer| answer.map(|answer| answer.check().map(|()| answer)).transpose());
        let Some(answer) = pace.heard(answer).await else { continue };
        let Some(answer) = pace.told(answer).await else { continue };
        let now = Instances::absorb(before.as_deref(), answer);
        let changed = before.as_deref() != Some(&now);
        if changed {
            into.send_replace(Some(Arc::new(now)));
        }
        pace.settle(changed && !whole).await;
    }
}

/// Follows storage's orders until nobody listens any more.
pub async fn volumes(
    from: Arc<dyn ControlPlane>,
    wait: Duration,
    mut wheel: Listener,
    into: Sender<Option<Arc<StorageAssignment>>>,
) {
    let mut pace = Pace::new("storage");
    while !into.is_closed() {
        wheel.alive().await;
        let before = into.borrow().clone();
        let since = before.as_ref().map(|known| known.revision.as_str());
        let answer = from.storage_assignment(since, pace.patience(wait)).await;
        let Some(answer) = pace.heard(answer).await else { continue };
        let Some(answer) = pace.told(answer).await else { continue };
        let changed = before.as_deref() != Some(&answer);
        if changed {
            into.send_replace(Some(Arc::new(answer)));
        }
        pace.settle(changed).await;
    }
}

/// How fast to ask, and when to say that nobody answers.
struct Pace {
    service: &'static str,
    failures: u32,
    asked: Instant,
    /// When all orders were told last.
    told: Instant,
}

impl Pace {
    fn new(service: &'static str) -> Self {
        Self { service, failures: 0, asked: Instant::now(), told: Instant::now() }
    }
    /// Passes an answer on; after a failure it waits, and says so once for each outage.
    async fn heard<T>(&mut self, answer: Result<T>) -> Option<T> {
        match answer {
            Ok(answer) => {
                if self.failures > 0 {
                    tracing::info!(service = self.service, failures = self.failures, "the control plane answers again");
                }
                self.failures = 0;
                Some(answer)
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(service = self.service, %error, "no orders from the control plane; guests run on");
                }
                self.failures += 1;
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures - 1);
                // by chance up to a half less: not all nodes come back at the same moment
                let share = 1.0 - fastrand::f64() / 2.0;
                tokio::time::sleep(pause.min(LONGEST_PAUSE).mul_f64(share)).await;
                None
            }
        }
    }
    /// How long the next question may be held open: not at all, when all is to be told again.
    fn patience(&self, wait: Duration) -> Duration {
        if self.told.elapsed() < ALL_AGAIN { wait } else { Duration::ZERO }
    }
    /// What was told; nothing if it is as it was.
    async fn told<T>(&mut self, answer: Option<T>) -> Option<T> {
        match &answer {
            Some(_) => self.told = Instant::now(),
            None => self.settle(false).await,
        }
        answer
    }
    /// Waits a little when the answer came at once and said nothing new.
    async fn settle(&mut self, news: bool) {
        let pause = SAME_ANSWER_PAUSE.saturating_sub(self.asked.elapsed());
        if !news && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.asked = Instant::now();
    }
}
