//! Following a service's changes over a WebSocket (RFC 6455): the connection is the client's own, with its TLS and roles;
//! what is a WebSocket's comes from tungstenite.
//!
//! It stands beside the stack, not in it: a socket is no call that could be retried or pooled. Who follows comes back with
//! the last position when it breaks.

use crate::{
    address::Address,
    connect::{ConnectParams, Net},
    discovery::Endpoints,
};
use bytes::Bytes;
use cirro_models::{
    Context, Error, Result,
    events::{Ending, Event},
    remote::Answer,
};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY},
    header::{SEC_WEBSOCKET_VERSION, UPGRADE},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

/// The longest message that is taken, in bytes: a change has a few hundred.
const LONGEST: usize = 64 * 1024;
/// The most that is read of a refusal.
const MAX_PROBLEM: usize = 1024 * 1024;
/// How long a service may leave a socket without a word: four of its heartbeats.
const SILENCE: Duration = Duration::from_secs(60);

/// Where sockets are opened, beside a stack.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) known: Endpoints,
    pub(crate) net: Arc<Net>,
    pub(crate) params: ConnectParams,
}

/// An open socket.
pub struct Events(WebSocketStream<TokioIo<Upgraded>>);

/// What comes of an open socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It tells something.
    Event(Event),
    /// The service ends it, for this reason.
    Ended(Ending),
}

impl Events {
    /// What comes next.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection broke: go on from the last position on a new one.
    pub async fn next(&mut self) -> Result<Next> {
        let broken = |why: String| Error::unavailable(format!("the connection that changes came by is broken ({why})"));
        loop {
            let said = timeout(SILENCE, self.0.next()).await.map_err(|_| broken("it is silent".to_owned()))?;
            match said {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(event) => return Ok(Next::Event(event)),
                    // a newer service may tell more than this release knows
                    Err(error) => tracing::debug!(%error, "a message of a kind that this release does not know"),
                },
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(0, |frame| u16::from(frame.code));
                    return Ending::of(code).map(Next::Ended).ok_or_else(|| broken(format!("closed with {code}")));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(error.to_string())),
                None => return Err(broken("it ended".to_owned())),
            }
        }
    }
    /// Ends it.
    pub async fn close(mut self) {
        // who does not hear it finds the connection closed
        let _ = self.0.close(None).await;
    }
}

impl Door {
    /// Opens a socket at this path, in the name of the context's token.
    pub(crate) async fn open(&self, ctx: &Context, path: &str) -> Result<Events> {
        let known = self.known.now();
        let unknown = || Error::unavailable("nobody is known who could tell changes just now: try again");
        let address = known.get(fastrand::usize(..known.len().max(1))).ok_or_else(unknown)?;
        let opening = timeout(self.params.timeout * 2, self.shake(ctx, path, address)).await;
        opening.unwrap_or_else(|_| Err(unreachable(address, "it did not answer in time")))
    }
    async fn shake(&self, ctx: &Context, path: &str, address: &Address) -> Result<Events> {
        let failed = |error: &dyn std::error::Error| unreachable(address, &error.to_string());
        let io = self.net.dial_plainly(address).await.map_err(|error| failed(&error))?;
        let (mut link, driver) = http1::handshake::<_, Empty<Bytes>>(io).await.map_err(|error| failed(&error))?;
        // ends with the connection, or when that is handed over
        tokio::spawn(driver.with_upgrades());
        let key = generate_key();
        let request = request(ctx, path, address, &key)?;
        let response = link.send_request(request).await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response, address).await);
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(unreachable(address, "what answers there is no WebSocket"));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(&error))?;
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
        Ok(Events(socket))
    }
}

fn request(ctx: &Context, path: &str, address: &Address, key: &str) -> Result<Request<Empty<Bytes>>> {
    let unsendable = || Error::Malformed {
        detail: "the request for changes can't be sent: a part of it is no plain text".to_owned(),
    };
    let mut request = Request::get(path)
        .header(HOST, address.authority())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key)
        .header("x-request-id", ctx.request_id())
        .body(Empty::new())
        .map_err(|_| unsendable())?;
    if let Some(token) = ctx.token() {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

async fn refusal(response: Response<Incoming>, address: &Address) -> Error {
    let status = response.status().as_u16();
    match Limited::new(response.into_body(), MAX_PROBLEM).collect().await {
        Ok(body) => Answer { status, body: body.to_bytes() }.error(),
        Err(error) => unreachable(address, &error.to_string()),
    }
}

fn unreachable(address: &Address, why: &str) -> Error {
    Error::unavailable(format!("changes can't be followed at {address} just now ({why}): try again"))
}
