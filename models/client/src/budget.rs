//! The token bucket that keeps repetitions a small part of all calls.
//!
//! Each call pays in a fraction of a token, each repetition takes out a whole one. What is above a small reserve fades
//! with time, so that a long quiet day does not pay for a storm: at a steady rate `r` the bucket holds `ratio · r · memory`,
//! hence an outage of at least `memory` sees at most `2 · ratio` of extra calls, and a longer one less.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) struct Budget {
    ratio: f64,
    memory: Duration,
    reserve: f64,
    level: Mutex<Level>,
}

struct Level {
    tokens: f64,
    /// When it was last looked at; none before the first time.
    at: Option<Instant>,
}

impl Budget {
    pub(crate) fn new(ratio: f64, memory: Duration, reserve: f64) -> Self {
        Self { ratio, memory, reserve, level: Mutex::new(Level { tokens: reserve, at: None }) }
    }
    /// A call was made.
    pub(crate) fn deposit(&self) {
        self.faded().tokens += self.ratio;
    }
    /// A repetition is to be made: whether it may.
    pub(crate) fn withdraw(&self) -> bool {
        let mut level = self.faded();
        let enough = level.tokens >= 1.0;
        level.tokens -= if enough { 1.0 } else { 0.0 };
        enough
    }
    fn faded(&self) -> parking_lot::MutexGuard<'_, Level> {
        let (mut level, now) = (self.level.lock(), Instant::now());
        let passed = level.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        level.at = Some(now);
        let above = (level.tokens - self.reserve).max(0.0);
        level.tokens += above * (-passed.as_secs_f64() / self.memory.as_secs_f64()).exp_m1();
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_saved_up_fades_to_the_reserve() {
        let budget = Budget::new(0.1, Duration::from_secs(10), 10.0);
        (0..10_000).for_each(|_| budget.deposit());
        tokio::time::advance(Duration::from_secs(200)).await;
        let left = (0..1000).filter(|_| budget.withdraw()).count();
        assert_eq!(left, 10);
    }

    proptest! {
        #[test]
        fn repetitions_never_exceed_the_reserve_and_the_ratio(calls in proptest::collection::vec(0usize..4, 1..400)) {
            let budget = Budget::new(0.1, Duration::from_secs(10), 10.0);
            let mut paid = 0;
            for wanted in &calls {
                budget.deposit();
                paid += (0..*wanted).filter(|_| budget.withdraw()).count();
            }
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let (paid, calls) = (paid as f64, calls.len() as f64);
            prop_assert!(paid <= 10.0 + 0.1 * calls + 1e-6);
        }
    }
}
