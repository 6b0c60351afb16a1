//! What time it is: the machine's clocks, which tests put forward.

use cirro_models::Timestamp;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

/// The machine's clocks; [`Self::advance`] puts both forward at once.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_us: AtomicI64,
}

impl Clock {
    /// The time of day.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(Timestamp::now().micros().saturating_add(self.ahead_us()))
    }
    /// A moment that only ever moves on, whatever is done to the time of day.
    pub fn steady(&self) -> Instant {
        let now = Instant::now();
        let ahead = Duration::from_micros(u64::try_from(self.ahead_us()).unwrap_or(0));
        now.checked_add(ahead).unwrap_or(now)
    }
    /// How far it was put forward, in microseconds.
    pub fn ahead_us(&self) -> i64 {
        self.ahead_us.load(Ordering::Relaxed)
    }
    /// Puts it forward, as if so much time had passed.
    pub fn advance(&self, by: Duration) {
        self.ahead_us.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}
