//! One open connection: HTTP/1.1, which carries one call at a time, or HTTP/2, which carries many.

use crate::{metrics::Gauge, request::Body};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    rt::{Read, Write},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::{sync::Arc, time::Duration};

/// How long the other end of an HTTP/2 connection has to say that it is there.
const PONG: Duration = Duration::from_secs(5);

/// A stream of bytes both ways.
pub(crate) trait Io: Read + Write + Send + Unpin {}
impl<T: Read + Write + Send + Unpin> Io for T {}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1: one call at a time.
    One,
    /// HTTP/2: many at once.
    Many,
}

/// The sending end of an open connection.
pub(crate) enum Link {
    One(http1::SendRequest<Body>),
    Many(http2::SendRequest<Body>),
}

impl Link {
    /// Shakes hands over these bytes, and drives the connection until it ends; `open` counts those that are driven. A silent
    /// one that carries many is asked as often as `ping` says whether anybody is there.
    pub(crate) async fn over(
        io: Box<dyn Io>,
        protocol: Protocol,
        ping: Duration,
        open: Arc<Gauge>,
    ) -> hyper::Result<Self> {
        match protocol {
            Protocol::One => {
                let (link, driver) = http1::handshake(io).await?;
                drive(driver, open);
                Ok(Self::One(link))
            }
            Protocol::Many => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.timer(TokioTimer::new()).keep_alive_interval(ping).keep_alive_timeout(PONG);
                let (link, driver) = builder.handshake(io).await?;
                drive(driver, open);
                Ok(Self::Many(link))
            }
        }
    }
    /// What is spoken.
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::One(_) => Protocol::One,
            Self::Many(_) => Protocol::Many,
        }
    }
    /// Whether a call may be sent on it now, as far as is known here.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Self::One(link) => link.is_ready() && !link.is_closed(),
            Self::Many(link) => !link.is_closed(),
        }
    }
    /// Another handle of the same connection, where it carries many calls.
    pub(crate) fn share(&self) -> Option<Self> {
        match self {
            Self::One(_) => None,
            Self::Many(link) => Some(Self::Many(link.clone())),
        }
    }
    /// Sends a request. The error gives the request back if nothing of it was sent.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Self::One(link) => link.try_send_request(request).await,
            Self::Many(link) => link.try_send_request(request).await,
        }
    }
    /// Waits until the last answer was taken off the connection; false if it can carry no more.
    pub(crate) async fn settled(&mut self) -> bool {
        match self {
            Self::One(link) => link.ready().await.is_ok(),
            Self::Many(link) => !link.is_closed(),
        }
    }
}

fn drive<D>(driver: D, open: Arc<Gauge>)
where
    D: Future<Output = hyper::Result<()>> + Send + 'static,
{
    open.change(1);
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            // whoever has a call on it hears of it as well, and says so
            tracing::debug!(%error, "a connection ended");
        }
        open.change(-1);
    });
}
