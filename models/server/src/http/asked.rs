//! What is known of a request before anything of it is believed, and what is told of it when it has been answered: one
//! line in the log, and its counts. All that is logged in between stands in a span with its id.

use crate::{
    http::{Failure, caller::text},
    requests::Requests,
};
use actix_web::{
    Error as ActixError, HttpMessage, HttpRequest, ResponseError,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::HeaderMap,
    middleware::Next,
};
use cirro_models::{Error, Principal, Trace};
use std::{cell::OnceCell, rc::Rc, sync::Arc, time::Instant};
use tracing::Instrument;

/// Under which id a request is found in all logs, and whose it is.
pub struct Asked {
    /// The caller's request id if that is a plain one, or else a new one.
    pub request_id: String,
    /// The part of the caller's trace that it is, or of a new one.
    pub trace: Trace,
    /// The part of the trace that has asked.
    parent: Option<Trace>,
    principal: OnceCell<Principal>,
}

impl Asked {
    /// Of this request: the same whenever it is asked for.
    pub fn of(request: &impl HttpMessage) -> Rc<Self> {
        if let Some(known) = request.extensions().get::<Rc<Self>>() {
            return known.clone();
        }
        let asked = Rc::new(Self::read(request.headers()));
        request.extensions_mut().insert(asked.clone());
        asked
    }
    fn read(headers: &HeaderMap) -> Self {
        let plain = |id: &&str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let given = text(headers, "x-request-id").filter(plain).map(ToOwned::to_owned);
        let request_id = given.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let parent = text(headers, Trace::HEADER).and_then(Trace::read);
        let trace = parent.unwrap_or_else(Trace::begin).child();
        Self { request_id, trace, parent, principal: OnceCell::new() }
    }
    /// Who asks was verified.
    pub(crate) fn is_from(&self, principal: &Principal) {
        // a request is from one; asked again, it is the same
        let _ = self.principal.set(principal.clone());
    }
}

/// What a caller is told who comes while too many changes are under way.
const TOO_MUCH: &str =
    "too many changes are under way here: nothing was done; send it again after the time that Retry-After says";

/// Where the line of each request stands in the log: `CIRRO_LOG=cirro::request=warn` leaves them out, and `=debug` tells also
/// what nodes ask.
const TARGET: &str = "cirro::request";

/// Answers a request within its span, and tells of it afterwards. A body that streams may take longer than `ms`, which
/// is the time until the answer began.
pub(super) async fn served(
    counts: Arc<Requests>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let (start, asked) = (Instant::now(), Asked::of(&request));
    let span = span(&asked, request.method().is_safe());
    let under_way = counts.begin(request.method(), request.path());
    let answer = if under_way.is_too_much() {
        let refusal = Error::TooManyRequests { detail: TOO_MUCH.to_owned(), retry_after_s: 1 };
        Ok(request.into_response(Failure::with_id(&asked.request_id, refusal).error_response()))
    } else {
        next.call(request).instrument(span).await
    };
    let status = answer.as_ref().map_or_else(|error| error.as_response_error().status_code(), ServiceResponse::status);
    let took = start.elapsed();
    if tracing::enabled!(target: Trace::TARGET, tracing::Level::TRACE) && asked.trace.is_sampled() {
        tracing::trace!(
            target: Trace::TARGET,
            kind = "server",
            method = under_way.method(),
            route = under_way.route(),
            status = status.as_u16(),
            us = took.as_micros(),
            request_id = asked.request_id,
            trace_id = asked.trace.id(),
            span_id = asked.trace.span(),
            parent_id = asked.parent.map(Trace::span),
        );
    }
    under_way.end(status.as_u16(), took);
    if let Ok(answer) = &answer {
        tell(&counts, answer.request(), &asked, status.as_u16(), took.as_micros());
    }
    answer
}

/// What is logged meanwhile belongs to the request. Spans of what only reads have a target of their own, because making one
/// costs as much as a tenth of a remembered row: `cirro up` goes without them.
fn span(asked: &Asked, reads: bool) -> tracing::Span {
    if reads {
        tracing::info_span!(target: "cirro::span::read", "request", request_id = asked.request_id, trace_id = asked.trace.id())
    } else {
        tracing::info_span!(target: "cirro::span", "request", request_id = asked.request_id, trace_id = asked.trace.id())
    }
}

fn tell(counts: &Requests, request: &HttpRequest, asked: &Asked, status: u16, us: u128) {
    if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        return;
    }
    // a node asks and reports all day: a thousand of them would fill gigabytes with lines that say that all is well
    let routine = status < 400 && matches!(asked.principal.get(), Some(Principal::Node(_)));
    if routine && !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        return;
    }
    let principal = asked.principal.get().map(ToString::to_string);
    // the path without its query: filters may hold what is nobody's business
    tracing::info!(
        target: TARGET,
        service = counts.service().name(),
        method = request.method().as_str(),
        path = request.path(),
        status,
        ms = milliseconds(us),
        request_id = asked.request_id,
        trace_id = asked.trace.id(),
        principal,
        "request"
    );
}

/// With three decimals.
fn milliseconds(us: u128) -> f64 {
    f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1000.0
}
