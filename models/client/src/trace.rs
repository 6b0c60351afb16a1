//! Trace: the request's id and its place in a trace go with it, and a line in the log says how it ended. First, so that it sees everything.

use crate::{
    metrics::Counter,
    request::{Fault, Reply, Sending, Step, Way},
};
use cirro_models::{Error, Trace as Place};
use hyper::header::HeaderValue;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tracing::Instrument;

/// Puts [`Trace`] around a step.
#[derive(Clone)]
pub(crate) struct TraceLayer(pub(crate) Arc<TraceMetrics>);

/// Names the call in the log and on the wire.
#[derive(Clone)]
pub(crate) struct Trace<S> {
    inner: S,
    metrics: Arc<TraceMetrics>,
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;
    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner, metrics: self.0.clone() }
    }
}

impl<S: Step> Service<Sending> for Trace<S> {
    type Response = Reply;
    type Error = Fault;
    type Future = Way;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, mut sending: Sending) -> Way {
        let (inner, metrics) = (self.inner.clone(), self.metrics.clone());
        let id = sending.ctx.request_id().to_owned();
        // the path without its query: filters may hold what is nobody's business
        let span = tracing::debug_span!("call", method = %sending.method, path = sending.path.path(), request_id = id);
        let work = async move {
            metrics.calls.add();
            let given = id;
            let id = HeaderValue::from_str(&given).map_err(|_| {
                Fault::Refused(Error::Malformed { detail: "the request id can't be sent: use plain ASCII".to_owned() })
            })?;
            sending.headers.insert("x-request-id", id);
            // each call is a part of its own
            let (parent, part) = (sending.ctx.trace(), sending.ctx.trace().child());
            if let Ok(place) = HeaderValue::try_from(part.to_string()) {
                sending.headers.insert(Place::HEADER, place);
            }
            let start = Instant::now();
            let told = tracing::enabled!(target: Place::TARGET, tracing::Level::TRACE) && part.is_sampled();
            let method = told.then(|| sending.method.clone());
            let answer = inner.oneshot(sending).await;
            if let Some(method) = method {
                tracing::trace!(
                    target: Place::TARGET,
                    kind = "client",
                    method = method.as_str(),
                    status = answer.as_ref().map_or(0, |reply| reply.status.as_u16()),
                    us = start.elapsed().as_micros(),
                    request_id = given,
                    trace_id = part.id(),
                    span_id = part.span(),
                    parent_id = parent.span(),
                );
            }
            let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            match &answer {
                Ok(reply) => tracing::debug!(status = reply.status.as_u16(), ms, "answered"),
                Err(fault) => {
                    metrics.faults.add();
                    tracing::debug!(?fault, ms, "not answered");
                }
            }
            answer
        };
        Box::pin(work.instrument(span))
    }
}

/// What this layer counted.
#[derive(Debug, Default)]
pub struct TraceMetrics {
    /// Calls.
    pub calls: Counter,
    /// Calls that got no answer at all.
    pub faults: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{get, reply};
    use tower::service_fn;

    #[tokio::test(start_paused = true)]
    async fn the_request_id_goes_along_and_faults_are_counted() {
        let metrics = Arc::new(TraceMetrics::default());
        let sending = get();
        let (id, trace) = (sending.ctx.request_id().to_owned(), sending.ctx.trace());
        let below = service_fn(move |sending: Sending| {
            let place = Place::read(sending.headers[Place::HEADER].to_str().unwrap()).unwrap();
            let part = place.id() == trace.id() && place.span() != trace.span();
            let same = sending.headers["x-request-id"] == id.as_str() && part;
            async move { if same { Ok(reply(200)) } else { Err(Fault::Late) } }
        });
        let stack = TraceLayer(metrics.clone()).layer(below);
        assert!(stack.clone().oneshot(sending).await.is_ok());
        assert!(stack.oneshot(get()).await.is_err());
        assert_eq!((metrics.calls.get(), metrics.faults.get()), (2, 1));
    }
}
