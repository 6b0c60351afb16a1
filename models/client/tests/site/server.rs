//! A server of HTTP/1.1, or of both protocols over TLS, that counts what reaches it.

use crate::pki::{Authority, Leaf};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Frame, body::Incoming, service::service_fn};
use hyper_openssl::SslStream;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use openssl::{
    ssl::{AlpnError, Ssl, SslAcceptor, SslContext, SslMethod, SslVerifyMode, select_next_proto},
    x509::{X509, store::X509StoreBuilder},
};
use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role},
    },
};

/// What a server saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) accepted: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) most_open: AtomicUsize,
    pub(crate) requests: AtomicUsize,
    /// The status to answer with; 0 is 200.
    pub(crate) status: AtomicU16,
}

/// A running server; dropping it ends it and its connections at once.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Server {
    /// In the clear.
    pub(crate) async fn plain() -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), None)
    }
    /// In the clear, where one was before.
    pub(crate) async fn again_at(port: u16) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", port)).await.unwrap(), None)
    }
    /// Over TLS; a client may show a certificate of the same authority.
    pub(crate) async fn tls(leaf: &Leaf, authority: &Authority) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), Some(acceptor(leaf, authority)))
    }
    fn on(listener: TcpListener, tls: Option<SslContext>) -> Self {
        let (seen, port) = (Arc::new(Seen::default()), listener.local_addr().unwrap().port());
        let task = tokio::spawn(accept(listener, tls, seen.clone()));
        Self { port, seen, task }
    }
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }
    /// Ends it, and its connections; answers where it was.
    pub(crate) async fn stop(mut self) -> u16 {
        self.task.abort();
        let _aborted = (&mut self.task).await;
        while self.seen.open.load(SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn acceptor(leaf: &Leaf, authority: &Authority) -> SslContext {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    builder.set_certificate(&leaf.certificate).unwrap();
    builder.set_private_key(&leaf.key).unwrap();
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(X509::from_pem(&authority.pem).unwrap()).unwrap();
    builder.set_verify_cert_store(store.build()).unwrap();
    builder.set_verify(SslVerifyMode::PEER);
    builder.set_alpn_select_callback(|_, offered| {
        select_next_proto(b"\x02h2\x08http/1.1", offered).ok_or(AlpnError::NOACK)
    });
    builder.build().into_context()
}

async fn accept(listener: TcpListener, tls: Option<SslContext>, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        seen.accepted.fetch_add(1, SeqCst);
        connections.spawn(connection(tcp, tls.clone(), Open::new(seen.clone())));
    }
}

/// A connection that is open; however it ends, it is counted.
struct Open(Arc<Seen>);

impl Open {
    fn new(seen: Arc<Seen>) -> Self {
        seen.most_open.fetch_max(seen.open.fetch_add(1, SeqCst) + 1, SeqCst);
        Self(seen)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

async fn connection(tcp: TcpStream, tls: Option<SslContext>, open: Open) {
    let http = auto::Builder::new(TokioExecutor::new());
    let Some(tls) = tls else {
        let answers = service_fn(|request| answer(request, String::new(), open.0.clone()));
        let _ended = http.serve_connection_with_upgrades(TokioIo::new(tcp), answers).await;
        return;
    };
    let mut stream = SslStream::new(Ssl::new(&tls).unwrap(), TokioIo::new(tcp)).unwrap();
    if Pin::new(&mut stream).accept().await.is_err() {
        return;
    }
    let shown = stream.ssl().peer_certificate().and_then(|peer| {
        let names = peer.subject_alt_names()?;
        names.iter().find_map(|name| name.uri().map(str::to_owned))
    });
    let who = shown.unwrap_or_else(|| "nobody".to_owned());
    let answers = service_fn(|request| answer(request, who.clone(), open.0.clone()));
    let _ended = http.serve_connection_with_upgrades(stream, answers).await;
}

type Said = BoxBody<Bytes, io::Error>;

/// What is said on a socket, and then that the reader is too slow.
const SAID: [&str; 3] =
    [r#"{"event":"begun","position":"1.0.1"}"#, r#"{"event":"sung"}"#, r#"{"event":"reached","position":"1.0.2"}"#];

/// Turns a request into a socket.
fn socket(request: Request<Incoming>) -> Response<Said> {
    let accept = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
    tokio::spawn(async move {
        let io = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        for said in SAID {
            socket.send(Message::text(said)).await.unwrap();
        }
        let slow = CloseFrame { code: 4003.into(), reason: "".into() };
        socket.close(Some(slow)).await.unwrap();
    });
    let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
    response.header("sec-websocket-accept", accept).body(full("")).unwrap()
}

/// `/…/events` is a socket; `/…/bytes` gives what was sent, or a stream of a mebibyte; everything else is a JSON list: who asks, by what protocol.
async fn answer(request: Request<Incoming>, who: String, seen: Arc<Seen>) -> Result<Response<Said>, Infallible> {
    seen.requests.fetch_add(1, SeqCst);
    let status = seen.status.load(SeqCst);
    if status != 0 {
        let refusal = Response::builder().status(status).body(full("{}")).unwrap();
        return Ok(refusal);
    }
    if request.uri().path().ends_with("/events") && request.headers().contains_key("upgrade") {
        return Ok(socket(request));
    }
    if !request.uri().path().ends_with("/bytes") {
        let version = format!("{:?}", request.version());
        return Ok(Response::new(full(serde_json::to_string(&[who, version]).unwrap())));
    }
    if request.method() == hyper::Method::GET {
        let pieces = (0u8..64).map(|piece| Ok(Frame::data(Bytes::from(vec![piece; 16 * 1024]))));
        return Ok(Response::new(BodyExt::boxed(StreamBody::new(stream::iter(pieces)))));
    }
    let mut length = 0;
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(piece)) = body.next().await {
        length += piece.len();
    }
    Ok(Response::new(full(length.to_string())))
}

fn full(text: impl Into<Bytes>) -> Said {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}
