//! Who calls: the headers of a request become a [`Context`].

use crate::{
    api_keys::{ApiKeys, Shown},
    controller::service_subject,
    http::{Asked, Failure, client_address},
    tls::Peer,
    token::{Verifier, WANTED},
};
use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{AUTHORIZATION, HeaderMap},
    web::Data,
};
use cirro_models::{
    Context, Error, Result, SiteRole, Stores, Subject,
    identity::{KeySecret, Secret},
};
use futures_util::{
    FutureExt,
    future::{Either, LocalBoxFuture},
};
use std::{
    future::{Ready, ready},
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

/// Remaining milliseconds of the caller's deadline.
const TIMEOUT_HEADER: &str = "x-cirro-timeout-ms";
/// The most time that a caller may ask for.
const LONGEST: Duration = Duration::from_mins(6);

/// What the routes of a service share.
pub struct Shared {
    /// How models are reached.
    pub stores: Arc<Stores>,
    /// Who asks.
    pub verifier: Arc<Verifier>,
    /// The tokens of keys that are shown instead.
    pub(crate) keys: Arc<ApiKeys>,
}

/// The token of the key that a request shows.
struct OfKey(Secret);

/// How a request proves who asks.
enum Proof<'r> {
    /// By the certificate of its connection.
    Certificate(Subject),
    /// By a token.
    Token(&'r str),
    /// By a key, for which a token is to be got.
    Key(KeySecret),
}

/// The context of an authenticated request. A route that takes this can't be called without a token.
pub struct Caller(pub Context);

impl Deref for Caller {
    type Target = Context;
    fn deref(&self) -> &Context {
        &self.0
    }
}

impl FromRequest for Caller {
    type Error = Failure;
    type Future = Either<Ready<Result<Self, Failure>>, LocalBoxFuture<'static, Result<Self, Failure>>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        match read(request) {
            Ok(ctx) => Either::Left(ready(Ok(Self(ctx)))),
            // only a stranger waits, or who shows a key
            Err(error @ Error::Unauthenticated { .. }) => Either::Right(again(request.clone(), error).boxed_local()),
            Err(error) => Either::Left(ready(Err(Failure::of(request, error)))),
        }
    }
}

/// Another try for a token of a key that was not known: a new one may be in use already.
async fn again(request: HttpRequest, error: Error) -> Result<Caller, Failure> {
    let shown = || {
        bearer(request.headers())?;
        let shared = shared(&request)?;
        Ok::<_, Error>((shared, proof(&request, &shared.verifier)?))
    };
    let outcome = match shown() {
        Ok((shared, Proof::Key(key))) => with_key(&request, shared, key).await,
        Ok((shared, Proof::Token(token))) if shared.verifier.learn_key_of(token).await => read(&request),
        _ => Err(error),
    };
    outcome.map(Caller).map_err(|error| Failure::of(&request, error))
}

/// Goes on with the token of a key as if that had been sent. One that has ended before its time is got anew, once.
async fn with_key(request: &HttpRequest, shared: &Shared, key: KeySecret) -> Result<Context> {
    let asked = Asked::of(request);
    let (request_id, trace) = (asked.request_id.clone(), asked.trace);
    let shown = Shown { key, from: client_address(request), request_id, trace };
    let (clock, until) = (shared.verifier.clock(), deadline(request.headers())?);
    let exchange = async {
        let token = shared.keys.token(&shown, clock).await?;
        match read_with(request, shared, &token).await {
            Err(Error::Unauthenticated { .. }) => {}
            read => return read,
        }
        let next = shared.keys.after(&token, &shown, clock).await?;
        let read = read_with(request, shared, &next).await;
        if let Err(error @ Error::Unauthenticated { .. }) = &read {
            shared.keys.refuse(&shown, error.clone(), clock)?;
        }
        read
    };
    let Some(until) = until else { return exchange.await };
    tokio::time::timeout_at(until.into(), exchange).await.unwrap_or_else(|_| {
        let detail = "identity did not say in time whether this API key is good: give it more time, or try again";
        Err(Error::DeadlineExceeded { detail: detail.to_owned() })
    })
}

async fn read_with(request: &HttpRequest, shared: &Shared, token: &Secret) -> Result<Context> {
    request.extensions_mut().insert(OfKey(token.clone()));
    match read(request) {
        Err(Error::Unauthenticated { .. }) if shared.verifier.learn_key_of(token.expose()).await => read(request),
        read => read,
    }
}

/// Asks again who it is, before an answer goes out that was waited for: meanwhile the proof may have ended.
pub fn still_known(request: &HttpRequest) -> Result<()> {
    who(request, &shared(request)?.verifier).map(drop)
}

fn shared(request: &HttpRequest) -> Result<&Data<Shared>> {
    request.app_data::<Data<Shared>>().ok_or_else(|| Error::internal("a route without its service"))
}

fn read(request: &HttpRequest) -> Result<Context> {
    let shared = shared(request)?;
    let headers = request.headers();
    let (subject, token) = who(request, &shared.verifier)?;
    if changes(request) {
        shared.verifier.require_fresh()?;
    }
    let asked = Asked::of(request);
    asked.is_from(subject.principal());
    let mut ctx =
        Context::verified(shared.stores.clone(), subject, token, asked.request_id.clone()).in_trace(asked.trace);
    if let Some(until) = deadline(headers)? {
        ctx = ctx.until(until);
    }
    if let Some(key) = headers.get("idempotency-key") {
        // a key that were passed over would let a repetition have a second effect
        let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
        ctx = ctx.keyed(key.ok_or_else(|| malformed("Idempotency-Key", "1 to 255 ASCII characters"))?);
    }
    Ok(ctx)
}

/// Until when the caller waits, if it says so.
fn deadline(headers: &HeaderMap) -> Result<Option<Instant>> {
    let Some(timeout) = text(headers, TIMEOUT_HEADER) else { return Ok(None) };
    let ms: u64 = timeout.parse().map_err(|_| malformed(TIMEOUT_HEADER, "a number of milliseconds"))?;
    Ok(Some(Instant::now() + Duration::from_millis(ms).min(LONGEST)))
}

/// Who is connected, as their certificate says and only so: for what concerns the certificate itself.
pub fn certified(request: &HttpRequest, verifier: &Verifier) -> Result<Peer> {
    let peer = Peer::of(request).ok_or_else(|| {
        Error::unauthenticated("this takes a connection with a certificate of the site: a token says nothing here")
    })?;
    in_force(peer, verifier)?;
    if let SiteRole::Node(_) = peer.role {
        who(request, verifier)?;
    }
    Ok(peer)
}

/// Refuses a peer whose certificate has ended since it connected.
fn in_force(peer: Peer, verifier: &Verifier) -> Result<()> {
    if peer.ends_at > verifier.clock().now() {
        return Ok(());
    }
    Err(Error::unauthenticated(
        "the certificate of this connection has expired: connect with its successor, and if there is none, see why it was \
         not renewed",
    ))
}

/// Who asks, and the token that says so.
fn who(request: &HttpRequest, verifier: &Verifier) -> Result<(Subject, Option<Secret>)> {
    let token = match proof(request, verifier)? {
        Proof::Certificate(subject) => return Ok((subject, None)),
        Proof::Token(token) => Secret::new(token),
        Proof::Key(_) => {
            let extensions = request.extensions();
            let of_key = extensions.get::<OfKey>().map(|OfKey(token)| token.clone());
            of_key.ok_or_else(|| Error::unauthenticated(WANTED))?
        }
    };
    Ok((verifier.verify(token.expose())?, Some(token)))
}

/// What says who asks: the token or key that is shown, or else the certificate of the service or node that is connected.
/// The bus asks nothing of its own, and a node shows no token: whoever took over a node may hold one that is somebody
/// else's.
fn proof<'r>(request: &'r HttpRequest, verifier: &Verifier) -> Result<Proof<'r>> {
    let peer = Peer::of(request);
    peer.map_or(Ok(()), |peer| in_force(peer, verifier))?;
    let shown = request.headers().contains_key(AUTHORIZATION);
    match peer.map(|peer| (peer.role, peer.made_at)) {
        Some((SiteRole::Node(_), _)) if shown => Err(Error::unauthenticated(
            "a node is known by its certificate and takes no token: send none over its connections",
        )),
        Some((SiteRole::Node(id), made_at)) => verifier.node(id, made_at).map(Proof::Certificate),
        Some((SiteRole::Service(service), _)) if !shown => Ok(Proof::Certificate(service_subject(service))),
        _ => {
            let token = bearer(request.headers())?;
            Ok(KeySecret::read(token).map_or(Proof::Token(token), Proof::Key))
        }
    }
}

fn changes(request: &HttpRequest) -> bool {
    crate::requests::changes(request.method(), request.path())
}

fn malformed(header: &str, wanted: &str) -> Error {
    Error::Malformed { detail: format!("the header {header} can't be used: give {wanted}") }
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What stands in `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Result<&str> {
    let given = text(headers, "authorization");
    let scheme =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    scheme.map(|(_, token)| token.trim()).ok_or_else(|| Error::unauthenticated(WANTED))
}
