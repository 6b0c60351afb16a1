//! One request and its answer on one connection.

use super::kept::Lease;
use crate::{
    address::Address,
    deadline,
    link::Protocol,
    request::{Body, Content, Fault, Payload, Reply, Sending, Wanted},
};
use bytes::Bytes;
use cirro_models::Error;
use futures_util::{StreamExt, stream::BoxStream};
use http_body_util::{BodyExt, BodyStream, Limited};
use hyper::{
    Request, Uri,
    body::Incoming,
    header::{HOST, HeaderValue},
    http::uri::{Authority, Parts, Scheme},
};
use std::{io, sync::Arc};

/// The largest answer that is read whole.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Who is at the far end, in the words that each request needs.
pub(super) struct Peer {
    pub(super) name: Arc<str>,
    authority: Authority,
    host: HeaderValue,
    scheme: Scheme,
}

impl Peer {
    pub(super) fn new(address: &Address) -> Self {
        let text = address.authority();
        // an address holds only what a header and an authority may hold, so neither can fail
        let host = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("endpoint"));
        let authority = text.parse().unwrap_or(Authority::from_static("endpoint"));
        let scheme = if address.tls() { Scheme::HTTPS } else { Scheme::HTTP };
        Self { name: address.to_string().into(), authority, host, scheme }
    }
}

/// An exchange that came to nothing.
pub(super) struct Lost {
    pub(super) fault: Fault,
    /// The body, if nothing of the request was sent.
    pub(super) unsent: Option<Body>,
}

impl From<Fault> for Box<Lost> {
    fn from(fault: Fault) -> Self {
        Box::new(Lost { fault, unsent: None })
    }
}

/// Sends the request and takes the answer, whole or as a stream that keeps the connection.
pub(super) async fn run(mut lease: Lease, sending: &Sending, body: Body, peer: &Peer) -> Result<Reply, Box<Lost>> {
    let name = &peer.name;
    let Some(link) = lease.link() else { return Err(gone(name).into()) };
    let request = written(sending, body, peer, link.protocol())?;
    let response = link.send(request).await.map_err(|mut error| {
        let unsent = error.take_message().map(Request::into_body);
        let cause = cause(error.error());
        let endpoint = name.clone();
        let fault =
            if unsent.is_some() { Fault::Connect { endpoint, cause } } else { Fault::Broken { endpoint, cause } };
        Box::new(Lost { fault, unsent })
    })?;
    let (head, body) = response.into_parts();
    let content = match sending.wanted {
        Wanted::Whole => {
            let bytes = collected(body, name).await?;
            // an answer may come before an upload's end, and the rest of that is on its way
            if let Payload::Whole(_) = sending.payload {
                lease.finish().await;
            }
            Content::Whole(bytes)
        }
        Wanted::Stream => Content::Stream(streamed(body, lease)),
    };
    Ok(Reply { status: head.status, headers: head.headers, content, repeated: false })
}

fn gone(name: &Arc<str>) -> Fault {
    Fault::Connect { endpoint: name.clone(), cause: "the connection has ended".to_owned() }
}

/// What hyper says, with its own cause.
fn cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The request as this endpoint and protocol want it, with the time that is left at this moment.
fn written(sending: &Sending, body: Body, peer: &Peer, protocol: Protocol) -> Result<Request<Body>, Fault> {
    let remaining = sending.remaining()?;
    let mut request = Request::new(body);
    *request.method_mut() = sending.method.clone();
    *request.headers_mut() = sending.headers.clone();
    deadline::stamp(request.headers_mut(), remaining);
    let mut uri = Parts::default();
    uri.path_and_query = Some(sending.path.clone());
    match protocol {
        Protocol::One => {
            request.headers_mut().insert(HOST, peer.host.clone());
        }
        Protocol::Many => {
            uri.scheme = Some(peer.scheme.clone());
            uri.authority = Some(peer.authority.clone());
        }
    }
    *request.uri_mut() = Uri::from_parts(uri)
        .map_err(|error| Fault::Refused(Error::Malformed { detail: format!("the request can't be sent: {error}") }))?;
    Ok(request)
}

async fn collected(body: Incoming, name: &Arc<str>) -> Result<Bytes, Fault> {
    let whole = Limited::new(body, MAX_ANSWER).collect().await;
    whole.map(http_body_util::Collected::to_bytes).map_err(|error| {
        let cause = error.downcast_ref::<hyper::Error>().map_or_else(|| error.to_string(), cause);
        Fault::Broken { endpoint: name.clone(), cause }
    })
}

/// The body as it comes. The connection is given back at its end, and closed if the reader leaves before.
fn streamed(body: Incoming, lease: Lease) -> BoxStream<'static, io::Result<Bytes>> {
    let start = (BodyStream::new(body), Some(lease));
    futures_util::stream::unfold(start, |(mut body, mut lease)| async move {
        loop {
            match body.next().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Some((Ok(data), (body, lease)));
                    }
                }
                Some(Err(error)) => return Some((Err(io::Error::other(error)), (body, None))),
                None => {
                    if let Some(lease) = lease.take() {
                        lease.finish().await;
                    }
                    return None;
                }
            }
        }
    })
    .boxed()
}
