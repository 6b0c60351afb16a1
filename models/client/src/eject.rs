//! Eject: an endpoint that fails several times in a row gets no calls for a while, then a single one that probes it. Each
//! failed probe doubles the while.
//!
//! A failure is a call without an answer: no connection, a broken one, nothing until the deadline. An answer is none,
//! whatever its status: a service that says 503 for its own reasons is there.

#[cfg(test)]
mod tests;

use crate::{
    metrics::Counter,
    request::{Fault, Reply, Sending, Step, Way},
};
use cirro_models::alert::{Alert, Bell};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

/// When an endpoint goes, and when it is tried again.
#[derive(Debug, Clone)]
pub struct EjectParams {
    /// Failures in a row that take it out.
    pub failures: u32,
    /// How long it is out at first.
    pub shortest: Duration,
    /// How long at most.
    pub longest: Duration,
}

impl Default for EjectParams {
    fn default() -> Self {
        Self { failures: 3, shortest: Duration::from_millis(500), longest: Duration::from_secs(15) }
    }
}

/// How an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It answers.
    Up,
    /// It is out, and it is time to probe it.
    Due,
    /// It is out.
    Down,
}

/// What is known of one endpoint, by its layer and by the balancer.
pub(crate) struct Health {
    name: Arc<str>,
    params: EjectParams,
    state: Mutex<State>,
    bell: Bell,
    metrics: Arc<EjectMetrics>,
}

#[derive(Default)]
struct State {
    failures: u32,
    out: Option<Out>,
}

struct Out {
    until: Instant,
    length: Duration,
    probing: bool,
}

impl Health {
    pub(crate) fn new(name: Arc<str>, params: EjectParams, metrics: Arc<EjectMetrics>) -> Arc<Self> {
        let bell = Bell::new(Alert::ClientEndpointEjected);
        Arc::new(Self { name, params, state: Mutex::default(), bell, metrics })
    }
    /// How it stands now.
    pub(crate) fn standing(&self) -> Standing {
        match &self.state.lock().out {
            None => Standing::Up,
            Some(out) if !out.probing && Instant::now() >= out.until => Standing::Due,
            Some(_) => Standing::Down,
        }
    }
    /// Takes on the probe: until its call has ended, nobody else does.
    pub(crate) fn probe(&self) {
        if let Some(out) = &mut self.state.lock().out {
            out.probing = true;
        }
    }
    fn ended(&self, end: End) {
        let mut state = self.state.lock();
        match end {
            End::Good => {
                if state.out.is_some() {
                    self.metrics.returns.add();
                    tracing::info!(endpoint = &*self.name, "an endpoint answers again and takes part");
                }
                *state = State::default();
            }
            End::Bad => self.failed(&mut state),
            End::Unknown => {
                if let Some(out) = &mut state.out {
                    out.probing = false;
                }
            }
        }
    }
    fn failed(&self, state: &mut State) {
        state.failures = state.failures.saturating_add(1);
        let now = Instant::now();
        let length = match &state.out {
            // calls that were under way when it was taken out tell nothing new
            Some(out) if !out.probing && now < out.until => return,
            Some(out) => (out.length * 2).min(self.params.longest),
            None if state.failures < self.params.failures => return,
            None => self.params.shortest,
        };
        // up to a quarter earlier, so that many clients do not probe at once
        let early = length.mul_f64(0.25 * fastrand::f64());
        let first = state.out.is_none();
        state.out = Some(Out { until: now + length.saturating_sub(early), length, probing: false });
        if first {
            self.metrics.ejections.add();
            self.bell.ring(|| {
                format!(
                    "{} failed {} times in a row and gets no calls for a while: is it up?",
                    self.name, state.failures
                )
            });
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy)]
enum End {
    Good,
    Bad,
    /// It says nothing of the endpoint.
    Unknown,
}

/// Puts [`Eject`] around a step.
#[derive(Clone)]
pub(crate) struct EjectLayer(pub(crate) Arc<Health>);

/// Tells the endpoint's health how each call ended.
#[derive(Clone)]
pub(crate) struct Eject<S> {
    inner: S,
    health: Arc<Health>,
}

impl<S> Layer<S> for EjectLayer {
    type Service = Eject<S>;
    fn layer(&self, inner: S) -> Eject<S> {
        Eject { inner, health: self.0.clone() }
    }
}

/// A call under way. When it is dropped before it ended, its caller left or its deadline has passed.
struct Underway {
    health: Arc<Health>,
    until: Option<Instant>,
    ended: bool,
}

impl Underway {
    fn end(mut self, end: End) {
        self.ended = true;
        self.health.ended(end);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if !self.ended {
            let late = self.until.is_some_and(|until| Instant::now() >= until);
            self.health.ended(if late { End::Bad } else { End::Unknown });
        }
    }
}

impl<S: Step> Service<Sending> for Eject<S> {
    type Response = Reply;
    type Error = Fault;
    type Future = Way;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, sending: Sending) -> Way {
        let inner = self.inner.clone();
        // made here and not in the future: a probe that is never polled must give its right back, too
        let underway = Underway { health: self.health.clone(), until: sending.until, ended: false };
        Box::pin(async move {
            let answer = inner.oneshot(sending).await;
            underway.end(match &answer {
                Ok(_) => End::Good,
                Err(Fault::Connect { .. } | Fault::Broken { .. }) => End::Bad,
                Err(_) => End::Unknown,
            });
            answer
        })
    }
}

/// What this layer counted.
#[derive(Debug, Default)]
pub struct EjectMetrics {
    /// Endpoints that were taken out.
    pub ejections: Counter,
    /// Endpoints that answered again.
    pub returns: Counter,
}
