//! Traces to OpenTelemetry, by configuration: where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, each finished part of
//! a trace is sent there, as OTLP in JSON over HTTP. Everywhere else nothing is made for it.
//!
//! A part is told once, when it is finished, by an event of the target [`cirro_models::Trace::TARGET`] with its ids. So a request's place
//! in a trace is Cirro's own, whether anybody records it or not; OpenTelemetry's SDK batches, bounds and sends.

use async_trait::async_trait;
use bytes::Bytes;
use cirro_client::Http;
use cirro_models::{Context, Error, Result};
use hyper::{Request, Response};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor},
};
use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::runtime::Handle;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    instrument::WithSubscriber,
    subscriber::NoSubscriber,
};
use tracing_subscriber::{Layer, layer};

/// The variables that name a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The variable that names a file with an authority to trust besides the system's.
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
/// How long the last parts may take when the process ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends finished parts of traces to a collector. Cheap to clone.
#[derive(Clone)]
pub struct Spans(Arc<BatchSpanProcessor>);

impl Spans {
    /// To the collector that the environment names, if it names one. `service` is what this process is called there.
    ///
    /// # Errors
    /// What the environment names is no address.
    pub fn from_environment(service: &str, runtime: &Handle) -> Result<Option<Self>> {
        let named = ENDPOINTS.into_iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
        let Some(endpoint) = named else { return Ok(None) };
        let authority = std::env::var_os(CERTIFICATE);
        let client = Client::new(&endpoint, authority.as_deref().map(Path::new), runtime.clone())?;
        let wrong = |error| Error::invalid(ENDPOINTS[1], format!("traces can't be sent to {endpoint} ({error})"));
        let exporter = SpanExporter::builder().with_http().with_http_client(client).with_protocol(Protocol::HttpJson);
        let mut processor = BatchSpanProcessor::builder(exporter.build().map_err(wrong)?).build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name(format!("cirro-{service}")).with_attribute(version);
        processor.set_resource(&resource.build());
        Ok(Some(Self(Arc::new(processor))))
    }
    /// Sends what is left.
    pub fn end(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last traces did not reach their collector");
        }
    }
}

impl<S: Subscriber> Layer<S> for Spans {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let mut part = Part::default();
        event.record(&mut part);
        if let Some(span) = part.span(SystemTime::now()) {
            self.0.on_end(span);
        }
    }
}

/// What an event tells of a part.
#[derive(Default)]
struct Part {
    client: bool,
    us: u64,
    status: u64,
    ids: [String; 3],
    method: String,
    route: String,
    request: String,
}

impl Visit for Part {
    fn record_str(&mut self, field: &Field, value: &str) {
        let place = match field.name() {
            "kind" => {
                self.client = value == "client";
                return;
            }
            "trace_id" => &mut self.ids[0],
            "span_id" => &mut self.ids[1],
            "parent_id" => &mut self.ids[2],
            "method" => &mut self.method,
            "route" => &mut self.route,
            "request_id" => &mut self.request,
            _ => return,
        };
        value.clone_into(place);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = value;
        }
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        if field.name() == "us" {
            self.us = u64::try_from(value).unwrap_or(u64::MAX);
        }
    }
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl Part {
    /// As OpenTelemetry has it (semantic conventions for HTTP spans, 1.23).
    fn span(self, end: SystemTime) -> Option<SpanData> {
        let (trace, own) = (TraceId::from_hex(&self.ids[0]).ok()?, SpanId::from_hex(&self.ids[1]).ok()?);
        let parent = SpanId::from_hex(&self.ids[2]).unwrap_or(SpanId::INVALID);
        let failed = self.status == 0 || self.status >= 500;
        let mut attributes = vec![
            KeyValue::new("http.request.method", self.method.clone()),
            KeyValue::new("http.response.status_code", i64::try_from(self.status).unwrap_or_default()),
            KeyValue::new("cirro.request_id", self.request),
        ];
        if !self.client {
            attributes.push(KeyValue::new("http.route", self.route.clone()));
        }
        Some(SpanData {
            span_context: SpanContext::new(trace, own, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: !self.client,
            span_kind: if self.client { SpanKind::Client } else { SpanKind::Server },
            name: format!("{} {}", self.method, self.route).trim_end().to_owned().into(),
            start_time: end.checked_sub(Duration::from_micros(self.us)).unwrap_or(end),
            end_time: end,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: InstrumentationScope::builder("cirro").build(),
        })
    }
}

/// Our own client as the exporter wants it: it works on the runtime, whichever thread asks.
struct Client {
    http: Arc<Http>,
    runtime: Handle,
}

impl Client {
    fn new(endpoint: &str, authority: Option<&Path>, runtime: Handle) -> Result<Self> {
        // the exporter says the path with each request
        let host = endpoint.split('/').take(3).collect::<Vec<_>>().join("/");
        Ok(Self { http: Arc::new(Http::new(&host, authority)?), runtime })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a client of {}", self.http.base())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = async move {
            let (head, body) = request.into_parts();
            let headers: Vec<_> =
                head.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
            let ctx = Context::client(Arc::default(), None);
            http.answer(&ctx, head.method.as_str(), head.uri.path(), Some(body), &headers).await
        };
        // what tells of traces tells of none
        let answer = self.runtime.spawn(sent.with_subscriber(NoSubscriber::default())).await??;
        Ok(Response::builder().status(answer.status).body(answer.body)?)
    }
}
