//! What travels through the stack, both ways: the request, the reply, and the fault when there is none.

use bytes::Bytes;
use cirro_models::{Context, Error};
use futures_util::{StreamExt, stream::BoxStream};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{HeaderMap, Method, StatusCode, http::uri::PathAndQuery};
use std::{io, sync::Arc, time::Duration};
use tokio::time::Instant;
use tower::Service;

/// A request's body: bytes at once, or a stream of them.
pub type Body = BoxBody<Bytes, io::Error>;

/// A body of these bytes.
pub(crate) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// What a request carries.
pub(crate) enum Payload {
    /// All of it is here: it can be sent again.
    Whole(Bytes),
    /// It is read as it is sent, once.
    Stream(Body),
    /// It was such a stream, and is on its way.
    Gone,
}

/// How the answer's body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Read to its end, within the deadline.
    Whole,
    /// As it comes.
    Stream,
}

/// A request on its way down. The layers fill in what is theirs.
pub(crate) struct Sending {
    pub(crate) ctx: Context,
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    pub(crate) wanted: Wanted,
    /// When nobody waits for the answer any more; none for streams, which take their time.
    pub(crate) until: Option<Instant>,
    /// The endpoints where it was sent already without success, by name.
    pub(crate) tried: Vec<Arc<str>>,
}

impl Sending {
    /// The same once more, unless its body is a stream.
    pub(crate) fn again(&self) -> Option<Self> {
        let Payload::Whole(bytes) = &self.payload else { return None };
        Some(Self {
            ctx: self.ctx.clone(),
            method: self.method.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            payload: Payload::Whole(bytes.clone()),
            wanted: self.wanted,
            until: self.until,
            tried: self.tried.clone(),
        })
    }
    /// Whether sending it twice has the effect of sending it once: the method says so (RFC 9110, 9.2.2), or it only
    /// reads a batch, or its key makes it so. Streams are never repeated.
    pub(crate) fn repeatable(&self) -> bool {
        let idempotent = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(&self.method)
            || self.method == Method::POST && self.path.path().ends_with("/batch");
        let whole = matches!(self.payload, Payload::Whole(_)) && self.wanted == Wanted::Whole;
        whole && (idempotent || self.ctx.key().is_some() || self.headers.contains_key("idempotency-key"))
    }
    /// The time that is left; none at all is a fault.
    pub(crate) fn remaining(&self) -> Result<Option<Duration>, Fault> {
        let Some(until) = self.until else { return Ok(None) };
        match until.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(Fault::Late),
        }
    }
}

/// What an endpoint answered.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    /// Whether the request was sent a second time because an idle connection closed under the first.
    pub(crate) repeated: bool,
}

/// The body of a reply.
pub(crate) enum Content {
    /// All of it.
    Whole(Bytes),
    /// As it comes; what it holds on to is given back when it is dropped.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl Reply {
    /// The same, with something that is kept until a streamed body was dropped.
    pub(crate) fn holding<G: Send + 'static>(mut self, guard: G) -> Self {
        self.content = match self.content {
            Content::Stream(stream) => Content::Stream(
                stream
                    .map(move |piece| {
                        let _held = &guard;
                        piece
                    })
                    .boxed(),
            ),
            Content::Whole(bytes) => Content::Whole(bytes),
        };
        self
    }
}

/// Why there is no reply.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// No connection came about: nothing was sent.
    Connect { endpoint: Arc<str>, cause: String },
    /// The connection was lost while the call was under way: it may have had its effect.
    Broken { endpoint: Arc<str>, cause: String },
    /// No connection was free in time: nothing was sent.
    Saturated { endpoint: Arc<str>, cause: &'static str },
    /// No endpoint is known.
    Empty { service: Arc<str> },
    /// The deadline has passed.
    Late,
    /// The request itself can't be sent.
    Refused(Error),
}

impl Fault {
    /// What the caller of a verb sees. `base` names whom it was sent to.
    pub(crate) fn error(self, base: &str) -> Error {
        match self {
            Self::Connect { endpoint, cause } => Error::unavailable(format!(
                "{endpoint} can't be reached ({cause}): check the address, and that the site runs"
            )),
            Self::Broken { endpoint, cause } => {
                Error::unavailable(format!("the answer of {endpoint} broke off ({cause}): try again"))
            }
            Self::Saturated { endpoint, cause } => {
                Error::unavailable(format!("no connection to {endpoint} was free ({cause}): try again"))
            }
            Self::Empty { service } => Error::unavailable(format!(
                "no process of {service} is registered: start one, or check the registry that was given"
            )),
            Self::Late => Error::DeadlineExceeded { detail: format!("{base} did not answer in time: try again") },
            Self::Refused(error) => error,
        }
    }
}

/// One step of the way: what every layer is, and what it stands on. Each is always ready; what holds back a flood is
/// the pool's bounded queue.
pub(crate) trait Step:
    Service<Sending, Response = Reply, Error = Fault, Future: Send> + Clone + Send + Sync + 'static
{
}
impl<S> Step for S where
    S: Service<Sending, Response = Reply, Error = Fault, Future: Send> + Clone + Send + Sync + 'static
{
}

/// The future of a step.
pub(crate) type Way = std::pin::Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send>>;
