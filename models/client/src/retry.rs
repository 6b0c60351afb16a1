//! Retry: a call that may run twice is sent again when it failed, elsewhere if there is an elsewhere, within its one
//! deadline, and only while repetitions are a small part of all calls.
//!
//! A fault (no connection, a broken one) and the statuses 502, 503 and 504 are worth another try. A `Retry-After` is
//! waited for if the deadline allows, and else the answer stands.

#[cfg(test)]
mod tests;

use crate::{
    budget::Budget,
    metrics::Counter,
    request::{Content, Fault, Reply, Sending, Step, Way},
};
use cirro_models::alert::{Alert, Bell};
use hyper::{Method, StatusCode, header::RETRY_AFTER};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt};

/// How often, how soon, and how much of it.
#[derive(Debug, Clone)]
pub struct RetryParams {
    /// Tries in all, the first one included.
    pub tries: u32,
    /// The longest wait before the second try; it doubles for each further one.
    pub wait: Duration,
    /// Repetitions that each call pays for. With 0.08, a peer that is down for longer than [`Self::memory`] gets less
    /// than a fifth more than its calls: 8 % as they come, as much that was saved up, and the reserve.
    pub ratio: f64,
    /// How long what calls have paid stays good.
    pub memory: Duration,
    /// Repetitions that a process may make although it has made few calls.
    pub reserve: f64,
}

impl Default for RetryParams {
    fn default() -> Self {
        Self { tries: 3, wait: Duration::from_millis(50), ratio: 0.08, memory: Duration::from_secs(5), reserve: 10.0 }
    }
}

/// What all retries of one stack share.
pub(crate) struct Shared {
    params: RetryParams,
    budget: Budget,
    bell: Bell,
    metrics: Arc<RetryMetrics>,
}

/// Puts [`Retry`] around a step.
#[derive(Clone)]
pub(crate) struct RetryLayer(Arc<Shared>);

impl RetryLayer {
    /// A layer with a full reserve.
    pub(crate) fn new(params: &RetryParams, metrics: Arc<RetryMetrics>) -> Self {
        let budget = Budget::new(params.ratio, params.memory, params.reserve);
        let bell = Bell::new(Alert::ClientRetryBudgetExhausted);
        Self(Arc::new(Shared { params: params.clone(), budget, bell, metrics }))
    }
}

/// Repeats what may be repeated.
#[derive(Clone)]
pub(crate) struct Retry<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;
    fn layer(&self, inner: S) -> Retry<S> {
        Retry { inner, shared: self.0.clone() }
    }
}

impl<S: Step> Service<Sending> for Retry<S> {
    type Response = Reply;
    type Error = Fault;
    type Future = Way;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, sending: Sending) -> Way {
        let (inner, shared) = (self.inner.clone(), self.shared.clone());
        shared.budget.deposit();
        if sending.repeatable() { Box::pin(shared.tries(inner, sending)) } else { Box::pin(inner.oneshot(sending)) }
    }
}

impl Shared {
    async fn tries<S: Step>(self: Arc<Self>, inner: S, mut sending: Sending) -> Result<Reply, Fault> {
        let deletes = sending.method == Method::DELETE && sending.ctx.key().is_none();
        let mut may_have_run = false;
        for tried in 1.. {
            let next = sending.again();
            let answer = inner.clone().oneshot(sending).await;
            may_have_run |= matches!(&answer, Ok(reply) if reply.repeated);
            let wait = self.wait(&answer, tried);
            let Some((wait, mut again)) = wait.zip(next).filter(|(wait, again)| self.allowed(again, *wait)) else {
                return answer.map(|reply| if deletes && may_have_run { gone(reply) } else { reply });
            };
            may_have_run |= !matches!(answer, Err(Fault::Connect { .. }));
            self.metrics.retries.add();
            if let Err(Fault::Connect { endpoint, .. } | Fault::Broken { endpoint, .. }) = &answer {
                again.tried.push(endpoint.clone());
            }
            sleep(wait).await;
            sending = again;
        }
        Err(Fault::Late)
    }
    /// How long to wait before another try; none if this answer stands.
    fn wait(&self, answer: &Result<Reply, Fault>, tried: u32) -> Option<Duration> {
        let asked = match answer {
            Ok(reply) => match reply.status {
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                    let seconds = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                    seconds.map(Duration::from_secs).unwrap_or_default()
                }
                _ => return None,
            },
            // a full pool gets no better by asking twice
            Err(Fault::Connect { .. } | Fault::Broken { .. }) => Duration::ZERO,
            Err(_) => return None,
        };
        let longest = self.params.wait * 2u32.saturating_pow(tried - 1).min(1024);
        // anywhere up to the longest, so that those who failed together do not come back together
        (tried < self.params.tries).then(|| asked.max(longest.mul_f64(fastrand::f64())))
    }
    /// Whether there is time for another try after this wait, and budget; takes from the budget.
    fn allowed(&self, again: &Sending, wait: Duration) -> bool {
        if again.until.is_some_and(|until| Instant::now() + wait >= until) {
            return false;
        }
        let paid = self.budget.withdraw();
        if !paid {
            self.metrics.refused.add();
            self.bell.ring(|| {
                let (method, path) = (&again.method, again.path.path());
                format!("{method} {path} failed and is not repeated, because too many calls fail: is its service up?")
            });
        }
        paid
    }
}

/// A deletion whose first try may have worked finds nothing to delete: that is what it was for.
fn gone(mut reply: Reply) -> Reply {
    if reply.status == StatusCode::NOT_FOUND {
        reply.status = StatusCode::NO_CONTENT;
        reply.content = Content::Whole(bytes::Bytes::new());
    }
    reply
}

/// What this layer counted.
#[derive(Debug, Default)]
pub struct RetryMetrics {
    /// Repetitions.
    pub retries: Counter,
    /// Repetitions that the budget did not allow.
    pub refused: Counter,
}
