//! Alerts: what an operator must hear of. Each has a name that stays, a line in the log, and a count for the metrics.

use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long one [`Bell`] keeps still after a line in the log. Every ring counts; a flood of equal lines hides the rest.
const STILL: Duration = Duration::from_secs(10);

/// Everything that raises an alert. The names are a promise: rules of monitoring systems are written against them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// The queue for connections to an endpoint is full: a call was refused.
    ClientPoolSaturated,
    /// A call waited too long for a connection to an endpoint.
    ClientQueueTimeout,
    /// A call waited too long, and not one connection came back meanwhile: the endpoint, or a caller, hangs.
    ClientPoolLocked,
    /// An endpoint failed so often in a row that it gets no more calls for a while.
    ClientEndpointEjected,
    /// Calls fail that may be repeated, but so many were repeated lately that this one is not.
    ClientRetryBudgetExhausted,
    /// The registry does not answer: work goes on with what it said last.
    RegistryUnreachable,
    /// Something stands in the registry that is no address of a service: it is passed over.
    RegistryEntryInvalid,
    /// Nothing was heard of revoked tokens for so long that changes are refused.
    RevocationsStale,
    /// Less than a quarter of a certificate's life is left, and it can't be renewed.
    CertificateExpires,
    /// A service's database does not answer: its requests are refused until it does.
    DatabaseUnreachable,
    /// A deferred job failed so often that it was given up: an Operator has to look.
    JobDead,
    /// A deferred job waits whose kind this release does not know.
    JobKindUnknown,
    /// So many nodes are silent or stuck at once that none of them is fenced, and nothing moves.
    NodesSilentMany,
    /// Something that a node has begun does not end, though its agent reports: nothing new comes there.
    NodeStuck,
}

/// One count for each alert, in the order of [`Alert::ALL`].
static RAISED: [AtomicU64; Alert::ALL.len()] = [const { AtomicU64::new(0) }; Alert::ALL.len()];

impl Alert {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::ClientPoolSaturated,
        Self::ClientQueueTimeout,
        Self::ClientPoolLocked,
        Self::ClientEndpointEjected,
        Self::ClientRetryBudgetExhausted,
        Self::RegistryUnreachable,
        Self::RegistryEntryInvalid,
        Self::RevocationsStale,
        Self::CertificateExpires,
        Self::DatabaseUnreachable,
        Self::JobDead,
        Self::JobKindUnknown,
        Self::NodesSilentMany,
        Self::NodeStuck,
    ];
    /// The name in logs, metrics and rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientPoolSaturated => "client_pool_saturated",
            Self::ClientQueueTimeout => "client_queue_timeout",
            Self::ClientPoolLocked => "client_pool_locked",
            Self::ClientEndpointEjected => "client_endpoint_ejected",
            Self::ClientRetryBudgetExhausted => "client_retry_budget_exhausted",
            Self::RegistryUnreachable => "registry_unreachable",
            Self::RegistryEntryInvalid => "registry_entry_invalid",
            Self::RevocationsStale => "revocations_stale",
            Self::CertificateExpires => "certificate_expires",
            Self::DatabaseUnreachable => "database_unreachable",
            Self::JobDead => "job_dead",
            Self::JobKindUnknown => "job_kind_unknown",
            Self::NodesSilentMany => "nodes_silent_many",
            Self::NodeStuck => "node_stuck",
        }
    }
    /// How often it was raised since the process started.
    pub fn raised(self) -> u64 {
        RAISED[self as usize].load(Ordering::Relaxed)
    }
}

/// What one part of the process raises an alert with.
#[derive(Debug)]
pub struct Bell {
    alert: Alert,
    last: Mutex<Option<Instant>>,
}

impl Bell {
    /// A bell that has not rung.
    pub const fn new(alert: Alert) -> Self {
        Self { alert, last: Mutex::new(None) }
    }
    /// Counts, and writes the sentence to the log as a warning unless this bell wrote one in the last 10 seconds. The
    /// sentence says what happened to which thing and what to look at; it names no secret.
    pub fn ring(&self, sentence: impl FnOnce() -> String) {
        RAISED[self.alert as usize].fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut last = self.last.lock();
        if last.is_some_and(|last| now.duration_since(last) < STILL) {
            return;
        }
        *last = Some(now);
        drop(last);
        tracing::warn!(alert = self.alert.name(), "{}", sentence());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_in_the_order_of_their_counts() {
        for (place, alert) in Alert::ALL.iter().enumerate() {
            assert_eq!(*alert as usize, place);
            assert!(Alert::ALL[..place].iter().all(|other| other.name() != alert.name()));
        }
    }

    #[test]
    fn every_ring_counts() {
        let bell = Bell::new(Alert::RegistryEntryInvalid);
        let (before, mut written) = (Alert::RegistryEntryInvalid.raised(), 0);
        for _ in 0..3 {
            bell.ring(|| {
                written += 1;
                "etcd holds something else".to_owned()
            });
        }
        assert!(Alert::RegistryEntryInvalid.raised() >= before + 3);
        assert!(written <= 1, "one line for a flood");
    }
}
