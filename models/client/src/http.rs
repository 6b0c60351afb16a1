//! The client that everything uses: [`Http`] puts a call into words, sends it down the stack, and reads
//! what comes back.

use crate::{
    address::Address,
    connect::Net,
    discovery::{Endpoints, Place},
    events::{Door, Events},
    metrics::Metrics,
    request::{Body, Content, Payload, Reply, Sending, Wanted},
    stack::{Params, Stack, stack},
    tls::Tls,
};
use async_trait::async_trait;
use bytes::Bytes;
use cirro_models::{
    Context, Error, Result, Service,
    feed::Position,
    remote::{Answer, Call, Transport},
};
use futures_util::{Stream, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Method, Uri,
    body::Frame,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{io, sync::Arc, time::Duration};
use tokio::time::Instant;
use tower::ServiceExt;

/// The most that is read of an error's body where a stream was wanted.
const MAX_PROBLEM: usize = 1024 * 1024;

/// A client of the services' paths: of a one-process site or a service bus, or of each service by itself.
pub struct Http {
    base: String,
    /// What stands before each path.
    prefix: String,
    ways: Ways,
    metrics: Arc<Metrics>,
}

enum Ways {
    /// One set of endpoints serves everything.
    One(Way),
    /// Each service has its own.
    Each(Vec<(Service, Way)>),
}

/// The way to some endpoints.
struct Way {
    stack: Stack,
    door: Door,
}

impl Way {
    fn new(service: &str, known: Endpoints, tls: Option<Tls>, params: &Params, metrics: &Arc<Metrics>) -> Self {
        let net = Arc::new(Net { tls });
        let door = Door { known: known.clone(), net: net.clone(), params: params.connect.clone() };
        Self { stack: stack(service, known, net, params, metrics), door }
    }
}

/// How the endpoints of a site are spoken to.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// TLS to endpoints; without it they are spoken to in the clear.
    pub tls: Option<Tls>,
    /// The site's name. With it, a service's endpoint must have the role `cirro://<site>/service/<name>`.
    pub site: Option<String>,
    /// TLS to a registry whose URL says `etcds://`.
    pub registry_tls: Option<Tls>,
    /// The layers' parameters.
    pub params: Params,
    /// The services whose silent connections are asked at another pace than `params` say whether anybody is there.
    pub pings: Vec<(Service, Duration)>,
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
        let (address, prefix) = located(base).ok_or_else(|| {
            let ways = "give it as http://HOST:PORT or https://HOST:PORT";
            Error::invalid("url", format!("{base} is no address of a site: {ways}"))
        })?;
        let tls = if address.tls() { Some(Tls::system(ca_file)?) } else { None };
        let metrics = Arc::new(Metrics::default());
        let known = Endpoints::fixed(vec![address]);
        let way = Way::new("the site", known, tls, &Params::default(), &metrics);
        Ok(Self { base: base.to_owned(), prefix, ways: Ways::One(way), metrics })
    }
    /// A client of endpoints that each serve every path: buses, or sites in one process. Registries can be followed
    /// inside a tokio runtime only.
    pub fn everything_at(place: &Place, reach: &Reach) -> Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let way = reach.way("the site", place, reach.tls.clone(), &metrics)?;
        Ok(Self { base: "the site".to_owned(), prefix: String::new(), ways: Ways::One(way), metrics })
    }
    /// A client that goes to each service where that is. Registries can be followed inside a tokio runtime only.
    pub fn each_at(places: &[(Service, Place)], reach: &Reach) -> Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let way = |(service, place): &(Service, Place)| {
            let role = reach.site.as_ref().map(|site| format!("cirro://{site}/service/{}", service.name()));
            let clear = matches!(place, Place::Fixed(addresses) if !addresses.iter().all(Address::tls));
            if role.is_some() && (clear || reach.tls.is_none()) {
                let what = format!("{} must prove its role, and in the clear it can't", service.name());
                return Err(Error::invalid("url", format!("{what}: use https:// or give a certificate for TLS")));
            }
            let tls = reach.tls.as_ref().map(|tls| role.map_or_else(|| tls.clone(), |role| tls.expecting(&role)));
            Ok((*service, reach.pinging(*service).way(service.name(), place, tls, &metrics)?))
        };
        let ways = places.iter().map(way).collect::<Result<_>>()?;
        Ok(Self { base: "the site".to_owned(), prefix: String::new(), ways: Ways::Each(ways), metrics })
    }
    /// The address.
    pub fn base(&self) -> &str {
        &self.base
    }
    /// What its layers counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
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
        let sending = self.whole(ctx, method, path, body, headers)?;
        self.read(service_of(path), sending).await
    }
    /// The words of a call whose whole answer is wanted.
    fn whole(
        &self,
        ctx: &Context,
        method: &str,
        path: &str,
        body: Option<Bytes>,
        headers: &[(&str, &str)],
    ) -> Result<Sending> {
        let json = body.is_some();
        let payload = Payload::Whole(body.unwrap_or_default());
        let mut sending = self.sending(ctx, method, path, payload, Wanted::Whole)?;
        sending.until = Some(Instant::now() + ctx.remaining()?);
        if json {
            sending.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        add(&mut sending.headers, headers)?;
        Ok(sending)
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
        let body: Body = BodyExt::boxed(StreamBody::new(bytes.map_ok(Frame::data)));
        let mut sending = self.sending(ctx, method, path, Payload::Stream(body), Wanted::Whole)?;
        add(&mut sending.headers, headers)?;
        self.read(service_of(path), sending).await
    }
    /// Reads a stream.
    pub async fn download(&self, ctx: &Context, path: &str) -> Result<Streamed> {
        let sending = self.sending(ctx, "GET", path, Payload::Whole(Bytes::new()), Wanted::Stream)?;
        let reply = self.send(service_of(path), sending).await?;
        let length = reply.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let status = reply.status;
        let bytes = match reply.content {
            Content::Stream(bytes) => bytes,
            Content::Whole(bytes) => Box::pin(futures_util::stream::once(async move { Ok(bytes) })),
        };
        if status.is_success() {
            return Ok(Streamed { length, bytes });
        }
        let body = problem(bytes).await.map_err(Error::internal)?;
        Err(Answer { status: status.as_u16(), body }.error())
    }

    fn sending(&self, ctx: &Context, method: &str, path: &str, payload: Payload, wanted: Wanted) -> Result<Sending> {
        let unsendable = |what: &str| Error::Malformed { detail: format!("the request can't be sent: {what}") };
        Ok(Sending {
            ctx: ctx.clone(),
            method: method.parse::<Method>().map_err(|_| unsendable("its method is none"))?,
            path: format!("{}{path}", self.prefix).parse().map_err(|_| unsendable("its path is none"))?,
            headers: HeaderMap::new(),
            payload,
            wanted,
            until: None,
            tried: Vec::new(),
        })
    }
    /// Sends, and takes the whole answer.
    async fn read(&self, service: Option<Service>, sending: Sending) -> Result<Answer> {
        let reply = self.send(service, sending).await?;
        let body = match reply.content {
            Content::Whole(bytes) => bytes,
            Content::Stream(_) => return Err(Error::internal("a stream came where a whole answer was wanted")),
        };
        Ok(Answer { status: reply.status.as_u16(), body })
    }
    /// Opens a socket that tells what changes in a service: all that the token's bearer may read, or of these models only;
    /// after a position, or from now on.
    ///
    /// # Errors
    /// [`Error::Gone`] for a position that is no longer kept: list again. What any call may be refused for.
    pub async fn events(
        &self,
        ctx: &Context,
        service: Service,
        models: &[String],
        after: Option<Position>,
    ) -> Result<Events> {
        let mut asked: Vec<(&str, String)> = models.iter().map(|model| ("model", model.clone())).collect();
        asked.extend(after.map(|after| ("after", after.to_string())));
        let asked = serde_urlencoded::to_string(asked).map_err(Error::internal)?;
        let path = format!("{}/{}/v1/events?{asked}", self.prefix, service.name());
        self.way(Some(service))?.door.open(ctx, &path).await
    }
    async fn send(&self, service: Option<Service>, sending: Sending) -> Result<Reply> {
        self.way(service)?.stack.clone().oneshot(sending).await.map_err(|fault| fault.error(&self.base))
    }
    fn way(&self, service: Option<Service>) -> Result<&Way> {
        let way = match &self.ways {
            Ways::One(way) => Some(way),
            Ways::Each(ways) => ways.iter().find(|(owner, _)| Some(*owner) == service).map(|(_, way)| way),
        };
        way.ok_or_else(|| {
            let wanted = service.map_or("that path", Service::name);
            Error::internal(format!("this process was not told where {wanted} is: name it at its start"))
        })
    }
}

impl Reach {
    /// The same with the pace of this service.
    fn pinging(&self, service: Service) -> Self {
        let mut reach = self.clone();
        if let Some((_, ping)) = self.pings.iter().find(|(named, _)| *named == service) {
            reach.params.connect.ping = *ping;
        }
        reach
    }
    fn way(&self, service: &str, place: &Place, tls: Option<Tls>, metrics: &Arc<Metrics>) -> Result<Way> {
        let known = Endpoints::at(place, tls.is_some(), self.registry_tls.clone())?;
        // an https address needs TLS even where nothing was said of it
        let secure = matches!(place, Place::Fixed(addresses) if addresses.iter().any(Address::tls));
        let tls = match tls {
            None if secure => Some(Tls::system(None)?),
            given => given,
        };
        Ok(Way::new(service, known, tls, &self.params, metrics))
    }
}

/// The address in a base URL, and the path that it has besides.
fn located(base: &str) -> Option<(Address, String)> {
    let uri = base.parse::<Uri>().ok()?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let address = Address::new(uri.host()?, port, tls)?;
    let plain = uri.query().is_none() && !uri.authority()?.as_str().contains('@');
    plain.then(|| (address, uri.path().trim_end_matches('/').to_owned()))
}

/// The service whose path this is: its first segment, as on the bus.
fn service_of(path: &str) -> Option<Service> {
    let first = path.trim_start_matches('/').split(['/', '?']).next();
    Service::ALL.into_iter().find(|service| Some(service.name()) == first)
}

fn add(headers: &mut HeaderMap, more: &[(&str, &str)]) -> Result<()> {
    for (name, value) in more {
        let unsendable = || Error::Malformed { detail: format!("the header {name} can't be sent") };
        let known: HeaderName = name.parse().map_err(|_| unsendable())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| unsendable())?;
        value.set_sensitive(known == hyper::header::AUTHORIZATION);
        headers.insert(known, value);
    }
    Ok(())
}

/// A problem document that came as a stream.
async fn problem(bytes: futures_util::stream::BoxStream<'static, io::Result<Bytes>>) -> io::Result<Bytes> {
    let gather = |mut whole: Vec<u8>, piece: Bytes| async move {
        if whole.len() + piece.len() > MAX_PROBLEM {
            return Err(io::Error::other("the service's refusal is too long to be one"));
        }
        whole.extend_from_slice(&piece);
        Ok(whole)
    };
    bytes.try_fold(Vec::new(), gather).await.map(Bytes::from)
}

#[async_trait]
impl Transport for Http {
    async fn send(&self, ctx: &Context, call: Call) -> Result<Answer> {
        let version = call.if_match.map(|version| format!("\"{}\"", version.get()));
        let headers: Vec<(&str, &str)> = version.iter().map(|version| ("if-match", version.as_str())).collect();
        let sending = self.whole(ctx, call.method, &call.path, call.body, &headers)?;
        self.read(Some(call.service), sending).await
    }
}
