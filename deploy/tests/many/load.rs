//! Load from a plain client at a fixed rate. It repeats nothing, but for a request that may run twice, once, when an idle
//! connection was closed under it; others go over new connections.

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod};
use serde_json::json;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use uuid::Uuid;

/// Requests per second.
const RATE: f64 = 50.0;
/// The longest that one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is called, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Users,
    Flavors,
    Volumes,
    Images,
    /// A create with an Idempotency-Key.
    Keyed,
    /// A create without one.
    Unkeyed,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Users, Self::Flavors, Self::Volumes, Self::Images, Self::Keyed, Self::Unkeyed];

    /// Whether it may run twice.
    pub fn repeatable(self) -> bool {
        self != Self::Unkeyed
    }
    fn request(self, name: &str) -> (Method, &'static str, String) {
        let path = match self {
            Self::Users => "/identity/v1/user",
            Self::Flavors => "/compute/v1/flavor",
            Self::Volumes => "/storage/v1/volume",
            Self::Images => "/images/v1/machineimage",
            Self::Keyed | Self::Unkeyed => {
                let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1fqQ0Zb8Jt5xN0m1dyWm5X0T0X0Z3sX8a8E1m0sYdR test";
                return (Method::POST, "/compute/v1/sshkey", json!({ "name": name, "public_key": key }).to_string());
            }
        };
        (Method::GET, path, String::new())
    }
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    pub kind: Kind,
    /// What was created, for creates.
    pub name: String,
    /// The status, or what kept an answer from coming.
    pub status: Result<u16, String>,
    pub body: String,
    /// Since the load began.
    pub at: Duration,
    pub took: Duration,
}

impl Outcome {
    pub fn is_good(&self) -> bool {
        matches!(self.status, Ok(200 | 201))
    }
}

/// A plain client of the bus, which keeps connections.
pub struct Client {
    address: SocketAddr,
    connector: SslConnector,
    token: String,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    pub fn new(address: SocketAddr, ca: &Path, token: &str) -> Self {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_ca_file(ca).unwrap();
        let idle = Mutex::default();
        Self { address, connector: builder.build(), token: token.to_owned(), idle }
    }
    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let tcp = TcpStream::connect(self.address).await.map_err(|error| text(&error))?;
        tcp.set_nodelay(true).map_err(|error| text(&error))?;
        let ssl = self.connector.configure().unwrap().into_ssl(&self.address.ip().to_string()).unwrap();
        let mut stream = tokio_openssl::SslStream::new(ssl, tcp).unwrap();
        Pin::new(&mut stream).connect().await.map_err(|error| text(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }
    fn request(&self, kind: Kind, name: &str) -> Request<Full<Bytes>> {
        let (method, path, body) = kind.request(name);
        let mut request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        request = request.header("authorization", format!("Bearer {}", self.token));
        if kind == Kind::Keyed {
            request = request.header("idempotency-key", name);
        }
        request.body(Full::new(body.into())).unwrap()
    }
    /// One call; the status and the body.
    pub async fn call(&self, kind: Kind, name: &str) -> Result<(u16, String), String> {
        let kept = self.idle.lock().unwrap().pop().filter(|kept| !kept.is_closed());
        // nginx closes idle connections when it is reloaded; what may not be repeated is not sent on one
        if let Some(kept) = kept.filter(|_| kind.repeatable()) {
            match self.send(kept, kind, name).await {
                // closed while it was idle: nothing of the answer has come
                Err(error) if error.is_canceled() || error.is_incomplete_message() => {}
                outcome => return outcome.map_err(|error| format!("{error:?}")),
            }
        }
        let fresh = self.open().await?;
        self.send(fresh, kind, name).await.map_err(|error| format!("{error:?}"))
    }
    async fn send(
        &self,
        mut link: SendRequest<Full<Bytes>>,
        kind: Kind,
        name: &str,
    ) -> Result<(u16, String), hyper::Error> {
        link.ready().await?;
        let answer = link.send_request(self.request(kind, name)).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        self.idle.lock().unwrap().push(link);
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Load that goes on until it is told to end.
pub struct Load {
    start: Instant,
    end: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Outcome>>,
}

impl Load {
    pub fn start(client: Arc<Client>) -> Self {
        let (start, end) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let told = end.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(run(client, start, told))
        });
        Self { start, end, thread }
    }
    /// How long it goes on already: what [`Outcome::at`] is compared with.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
    /// Ends it: what has become of each call. The longest stall is printed.
    pub fn stop(self, what: &str) -> Vec<Outcome> {
        self.end.store(true, Relaxed);
        let outcomes = self.thread.join().unwrap();
        let mut counts: BTreeMap<(Kind, String), usize> = BTreeMap::new();
        for outcome in &outcomes {
            *counts.entry((outcome.kind, format!("{:?}", outcome.status))).or_default() += 1;
        }
        let longest = outcomes.iter().max_by_key(|outcome| outcome.took).unwrap();
        println!(
            "{what}: {} calls, the longest took {:?} ({:?} at {:?})",
            outcomes.len(),
            longest.took,
            longest.kind,
            longest.at
        );
        println!("{what}: {counts:?}");
        outcomes
    }
}

async fn run(client: Arc<Client>, start: Instant, end: Arc<AtomicBool>) -> Vec<Outcome> {
    let mut calls = Vec::new();
    // arrivals do not wait for answers
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / RATE));
    for kind in Kind::ALL.into_iter().cycle() {
        tick.tick().await;
        if end.load(Relaxed) {
            break;
        }
        let client = client.clone();
        calls.push(tokio::spawn(async move {
            let (name, at) = (format!("k{}", Uuid::now_v7().simple()), start.elapsed());
            let called = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, client.call(kind, &name)).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            let (status, body) =
                answer.map_or_else(|error| (Err(error), String::new()), |(status, body)| (Ok(status), body));
            Outcome { kind, name, status, body, at, took: called.elapsed() }
        }));
    }
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    outcomes
}
