//! One pooled HTTP client over hyper and OpenSSL.

use async_trait::async_trait;
use bytes::Bytes;
use cirro_models::{
    Context, Error, Result,
    identity::Secret,
    remote::{Answer, Call, Transport},
};
use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Frame, body::Incoming};
use hyper_openssl::client::legacy::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use openssl::ssl::{SslConnector, SslMethod};
use serde::{Serialize, de::DeserializeOwned};
use std::{io, time::Duration};

/// The largest JSON answer that is read.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Idle connections that are kept to one address.
const IDLE: usize = 32;

/// A request's body: bytes at once, or a stream of them.
pub type Body = BoxBody<Bytes, io::Error>;

/// A client of one address that serves the services' paths: a one-process site, or a service bus.
pub struct Http {
    base: String,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

/// An answer whose body is a stream.
pub struct Streamed {
    /// The length, if told.
    pub length: Option<u64>,
    /// The bytes.
    pub bytes: futures_util::stream::BoxStream<'static, io::Result<Bytes>>,
}

impl Http {
    /// A client of `http://host:port` or `https://host:port`. `ca_file` is a PEM file of whom to trust besides the
    /// system's authorities.
    pub fn new(base: &str, ca_file: Option<&std::path::Path>) -> Result<Self> {
        let base = base.trim_end_matches('/');
        if !(base.starts_with("http://") || base.starts_with("https://")) || base.parse::<hyper::Uri>().is_err() {
            return Err(Error::invalid(
                "url",
                format!("{base} is no address of a site: give it as http://HOST:PORT or https://HOST:PORT"),
            ));
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(5)));
        let mut tls = SslConnector::builder(SslMethod::tls_client()).map_err(Error::internal)?;
        if let Some(file) = ca_file {
            tls.set_ca_file(file).map_err(|error| {
                Error::invalid(
                    "ca_file",
                    format!("{} holds no usable certificate ({error}): give a PEM file", file.display()),
                )
            })?;
        }
        let connector = HttpsConnector::with_connector(tcp, tls).map_err(Error::internal)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE)
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Ok(Self { base: base.to_owned(), client })
    }
    /// The address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// One request whose answer is JSON; for what is no model's verb.
    pub async fn json<T: DeserializeOwned>(
        &self,
        ctx: &Context,
        method: &str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T> {
        let body = body.map(serde_json::to_vec).transpose().map_err(Error::internal)?;
        self.answer(ctx, method, path, body.map(Bytes::from), &[]).await?.read()
    }
    /// One request whose whole answer is wanted.
    pub async fn answer(
        &self,
        ctx: &Context,
        method: &str,
        path: &str,
        body: Option<Bytes>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let remaining = ctx.remaining()?;
        let json = body.is_some();
        let body = Full::new(body.unwrap_or_default()).map_err(|never| match never {}).boxed();
        let request = self.request(ctx, method, path, body, json, remaining, headers)?;
        let late = || Error::DeadlineExceeded { detail: format!("{} did not answer in time: try again", self.base) };
        let work = async {
            let response = self.send(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| {
                Error::unavailable(format!("the answer of {} broke off ({error}): try again", self.base))
            })?;
            Ok(Answer { status, body: body.to_bytes() })
        };
        tokio::time::timeout(remaining, work).await.unwrap_or_else(|_| Err(late()))
    }
    /// Sends a stream and reads the JSON answer. The deadline does not bound it: a large body takes its time.
    pub async fn upload(
        &self,
        ctx: &Context,
        method: &str,
        path: &str,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let body = BodyExt::boxed(StreamBody::new(bytes.map_ok(Frame::data)));
        let request = self.request(ctx, method, path, body, false, Duration::from_secs(120), headers)?;
        let response = self.send(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| {
            Error::unavailable(format!("the answer of {} broke off ({error}): try again", self.base))
        })?;
        Ok(Answer { status, body: body.to_bytes() })
    }
    /// Reads a stream.
    pub async fn download(&self, ctx: &Context, path: &str) -> Result<Streamed> {
        let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed();
        let request = self.request(ctx, "GET", path, body, false, Duration::from_secs(120), &[])?;
        let response = self.send(request).await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(Error::internal)?;
            return Err(Answer { status, body: body.to_bytes() }.error());
        }
        let length = response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = response.into_body().into_data_stream().map_err(io::Error::other).boxed();
        Ok(Streamed { length, bytes })
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of a request")]
    fn request(
        &self,
        ctx: &Context,
        method: &str,
        path: &str,
        body: Body,
        json: bool,
        remaining: Duration,
        headers: &[(&str, &str)],
    ) -> Result<Request<Body>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("x-request-id", ctx.request_id())
            .header("x-cirro-timeout-ms", remaining.as_millis().to_string());
        if let Some(token) = ctx.token().map(Secret::expose) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if json {
            request = request.header("content-type", "application/json");
        }
        if method != "GET"
            && let Some(key) = ctx.key()
        {
            request = request.header("idempotency-key", key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).map_err(|error| Error::Malformed { detail: format!("the request can't be sent: {error}") })
    }
    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        self.client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|source| format!(" ({source})")).unwrap_or_default();
            Error::unavailable(format!(
                "{} can't be reached{cause}: check the address, and that the site runs",
                self.base
            ))
        })
    }
}

#[async_trait]
impl Transport for Http {
    async fn send(&self, ctx: &Context, call: Call) -> Result<Answer> {
        let version = call.if_match.map(|version| format!("\"{}\"", version.get()));
        let headers: Vec<(&str, &str)> = version.iter().map(|version| ("if-match", version.as_str())).collect();
        self.answer(ctx, call.method, &call.path, call.body, &headers).await
    }
}
