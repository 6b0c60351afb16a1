//! Counts of what the stack does, for a page of metrics to render.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things that are there now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// More, or with a negative number fewer.
    pub(crate) fn change(&self, by: i64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
    /// How many.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one stack counted since it was built, layer by layer.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Calls, and how they ended.
    pub trace: Arc<crate::trace::TraceMetrics>,
    /// Calls that ran out of time.
    pub deadline: Arc<crate::deadline::DeadlineMetrics>,
    /// Repetitions.
    pub retry: Arc<crate::retry::RetryMetrics>,
    /// Choices among endpoints.
    pub balance: Arc<crate::balance::BalanceMetrics>,
    /// Endpoints taken out and taken back.
    pub eject: Arc<crate::eject::EjectMetrics>,
    /// Connections, and the wait for them.
    pub pool: Arc<crate::pool::PoolMetrics>,
}

impl Metrics {
    /// Every value with the name that it is published under.
    pub fn each(&self, mut tell: impl FnMut(&'static str, i64)) {
        let mut count = |name, counter: &Counter| tell(name, i64::try_from(counter.get()).unwrap_or(i64::MAX));
        count("cirro_client_calls_total", &self.trace.calls);
        count("cirro_client_faults_total", &self.trace.faults);
        count("cirro_client_late_total", &self.deadline.late);
        count("cirro_client_retries_total", &self.retry.retries);
        count("cirro_client_retries_refused_total", &self.retry.refused);
        count("cirro_client_probes_total", &self.balance.probes);
        count("cirro_client_all_down_total", &self.balance.all_down);
        count("cirro_client_ejections_total", &self.eject.ejections);
        count("cirro_client_returns_total", &self.eject.returns);
        count("cirro_client_connections_opened_total", &self.pool.opened);
        count("cirro_client_queue_timeouts_total", &self.pool.timeouts);
        count("cirro_client_queue_refusals_total", &self.pool.refusals);
        count("cirro_client_repeated_on_closed_total", &self.pool.repeated);
        tell("cirro_client_endpoints", self.balance.endpoints.get());
        tell("cirro_client_connections", self.pool.open.get());
        tell("cirro_client_queue", self.pool.waiting.get());
    }
}
