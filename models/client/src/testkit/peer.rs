//! A peer without a network: hyper's own server at the far end of a pipe in memory, so that time can be paused.

use crate::{
    address::Address,
    connect::{Connect, ConnectParams, Dial},
    link::{Io, Protocol},
    request::whole,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    time::{sleep, timeout},
};

/// How a peer behaves, and what it saw. Its answers say the `x-cirro-timeout-ms` that they were asked with.
#[derive(Default)]
pub(crate) struct Peer {
    /// Whether it speaks HTTP/2.
    pub(crate) many: bool,
    /// Whether its HTTP/2 connections break under the first answer.
    pub(crate) breaks: bool,
    /// How long an answer takes.
    pub(crate) work: Duration,
    /// Whether connections are refused now.
    pub(crate) refuses: AtomicBool,
    /// Whether it closes a connection as the second request comes, without a word.
    pub(crate) closes_after_one: AtomicBool,
    /// Connections that were made, and the requests on them.
    pub(crate) dialled: AtomicUsize,
    pub(crate) requests: AtomicUsize,
    /// Connections that are open, and the most that were.
    pub(crate) open: AtomicUsize,
    pub(crate) most_open: AtomicUsize,
}

impl Peer {
    pub(crate) fn address() -> Address {
        Address::parse("peer.test:1", false).unwrap()
    }
    /// What opens connections to it.
    pub(crate) fn connect(self: &Arc<Self>) -> Connect {
        Connect::new(Self::address(), Arc::new(Wire(self.clone())), ConnectParams::default(), Arc::default())
    }
    async fn serve(self: Arc<Self>, end: DuplexStream) {
        self.most_open.fetch_max(self.open.fetch_add(1, SeqCst) + 1, SeqCst);
        let peer = self.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let peer = peer.clone();
            async move {
                peer.requests.fetch_add(1, SeqCst);
                sleep(peer.work).await;
                let said =
                    request.headers().get("x-cirro-timeout-ms").map(|value| Bytes::copy_from_slice(value.as_bytes()));
                Ok::<_, Infallible>(Response::new(whole(said.unwrap_or_default())))
            }
        });
        let _ended = if self.many && self.breaks {
            let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(end), answer);
            timeout(self.work / 2, serving).await.unwrap_or(Ok(()))
        } else if self.many {
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(end), answer).await
        } else if self.closes_after_one.load(SeqCst) {
            self.one_answer(end).await;
            Ok(())
        } else {
            http1::Builder::new().serve_connection(TokioIo::new(end), answer).await
        };
        self.open.fetch_sub(1, SeqCst);
    }
    /// Answers once, as if the connection stayed open, and closes it in the face of the second request.
    async fn one_answer(&self, mut end: DuplexStream) {
        let mut asked = [0; 4096];
        let _first = end.read(&mut asked).await;
        self.requests.fetch_add(1, SeqCst);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let _written = tokio::io::AsyncWriteExt::write_all(&mut end, answer).await;
        let _second = end.read(&mut asked).await;
    }
}

/// The way to a peer.
struct Wire(Arc<Peer>);

impl Dial for Wire {
    fn dial(&self, _: Address) -> BoxFuture<'static, io::Result<(Box<dyn Io>, Protocol)>> {
        let peer = self.0.clone();
        Box::pin(async move {
            peer.dialled.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            if peer.refuses.load(SeqCst) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = duplex(64 * 1024);
            let protocol = if peer.many { Protocol::Many } else { Protocol::One };
            tokio::spawn(peer.serve(far));
            Ok((Box::new(TokioIo::new(near)) as Box<dyn Io>, protocol))
        })
    }
}
