//! Deadline: what nobody waits for any more is dropped, at once and everywhere below.
//!
//! The time that is left travels as a number of milliseconds, because clocks differ. It is written at the moment of
//! sending, so that it shrinks by what queues and earlier tries took.

use crate::{
    metrics::Counter,
    request::{Fault, Reply, Sending, Step, Wanted, Way},
};
use hyper::{HeaderMap, header::HeaderValue};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout, timeout_at};
use tower::{Layer, Service, ServiceExt};

/// Remaining milliseconds of the caller's deadline.
const HEADER: &str = "x-cirro-timeout-ms";
/// What is said of streams: the most that a service accepts.
const STREAM: Duration = Duration::from_secs(120);

/// Puts [`Deadline`] around a step.
#[derive(Clone)]
pub(crate) struct DeadlineLayer(pub(crate) Arc<DeadlineMetrics>);

/// Bounds what is below by the context's deadline; streams take their time.
#[derive(Clone)]
pub(crate) struct Deadline<S> {
    inner: S,
    metrics: Arc<DeadlineMetrics>,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;
    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, metrics: self.0.clone() }
    }
}

impl<S: Step> Service<Sending> for Deadline<S> {
    type Response = Reply;
    type Error = Fault;
    type Future = Way;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, mut sending: Sending) -> Way {
        let (inner, metrics) = (self.inner.clone(), self.metrics.clone());
        Box::pin(async move {
            let Some(until) = sending.until else { return unbounded(inner, sending).await };
            // the context's clock is the system's, the stack's is the runtime's
            let left = sending.ctx.remaining().map_err(|_| Fault::Late);
            let answer = match left {
                Ok(left) => {
                    let until = until.min(Instant::now() + left);
                    sending.until = Some(until);
                    timeout_at(until, inner.oneshot(sending)).await.unwrap_or(Err(Fault::Late))
                }
                Err(late) => Err(late),
            };
            if let Err(Fault::Late) = answer {
                metrics.late.add();
            }
            answer
        })
    }
}

/// A stream: a body takes its time in either direction, but a download must begin.
async fn unbounded<S: Step>(inner: S, sending: Sending) -> Result<Reply, Fault> {
    match sending.wanted {
        Wanted::Stream => timeout(STREAM, inner.oneshot(sending)).await.unwrap_or(Err(Fault::Late)),
        Wanted::Whole => inner.oneshot(sending).await,
    }
}

/// Writes the time that is left.
pub(crate) fn stamp(headers: &mut HeaderMap, remaining: Option<Duration>) {
    let ms = u64::try_from(remaining.unwrap_or(STREAM).as_millis()).unwrap_or(u64::MAX);
    headers.insert(HEADER, HeaderValue::from(ms));
}

/// What this layer counted.
#[derive(Debug, Default)]
pub struct DeadlineMetrics {
    /// Calls that were not answered in time.
    pub late: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{get, reply};
    use tower::service_fn;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_dropped_at_the_deadline() {
        let metrics = Arc::new(DeadlineMetrics::default());
        let below = service_fn(|_: Sending| std::future::pending());
        let start = Instant::now();
        let answer = DeadlineLayer(metrics.clone()).layer(below).oneshot(get()).await;
        assert!(matches!(answer, Err(Fault::Late)));
        // the context has 30 s by itself, and the shorter time counts
        assert!((29..=30).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert_eq!(metrics.late.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_already_is_not_begun_and_streams_are_not_bounded() {
        let below = service_fn(|sending: Sending| async move {
            assert!(sending.until.is_none(), "begun");
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(reply(200))
        });
        let stack = DeadlineLayer(Arc::default()).layer(below);
        let mut late = get();
        late.ctx = late.ctx.until(std::time::Instant::now());
        assert!(matches!(stack.clone().oneshot(late).await, Err(Fault::Late)));
        let mut stream = get();
        stream.until = None;
        assert!(stack.clone().oneshot(stream).await.is_ok());
        let mut download = get();
        (download.until, download.wanted) = (None, Wanted::Stream);
        assert!(matches!(stack.oneshot(download).await, Err(Fault::Late)), "it has not begun for an hour");
    }
}
