//! Connect: opens one connection to one endpoint, and finds out which protocol is spoken on it.

use crate::{
    address::Address,
    link::{Io, Link, Protocol},
    metrics::Gauge,
    request::Fault,
    tls::{PLAIN, SPOKEN, Tls},
};
use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

/// How connections come about.
#[derive(Debug, Clone)]
pub struct ConnectParams {
    /// How long TCP and TLS together may take.
    pub timeout: Duration,
    /// How often a silent HTTP/2 connection with calls under way is asked whether anybody is there.
    pub ping: Duration,
}

impl Default for ConnectParams {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), ping: Duration::from_secs(10) }
    }
}

/// The way to a peer's bytes: TCP and TLS, or a test's pipe.
pub(crate) trait Dial: Send + Sync + 'static {
    /// Opens one stream, and says what is spoken on it.
    fn dial(&self, address: Address) -> BoxFuture<'static, io::Result<(Box<dyn Io>, Protocol)>>;
}

/// TCP, with TLS where the address wants it.
pub(crate) struct Net {
    pub(crate) tls: Option<Tls>,
}

impl Dial for Net {
    fn dial(&self, address: Address) -> BoxFuture<'static, io::Result<(Box<dyn Io>, Protocol)>> {
        let tls = self.tls.clone();
        Box::pin(async move { open(tls, &address, SPOKEN).await })
    }
}

impl Net {
    /// Opens a stream on which HTTP/1.1 is spoken.
    pub(crate) async fn dial_plainly(&self, address: &Address) -> io::Result<Box<dyn Io>> {
        open(self.tls.clone(), address, PLAIN).await.map(|(io, _)| io)
    }
}

async fn open(tls: Option<Tls>, address: &Address, spoken: &[u8]) -> io::Result<(Box<dyn Io>, Protocol)> {
    let tcp = TcpStream::connect((address.host(), address.port())).await?;
    // small requests must not wait for the acknowledgement of earlier ones
    tcp.set_nodelay(true)?;
    let tcp = TokioIo::new(tcp);
    if !address.tls() {
        return Ok((Box::new(tcp) as Box<dyn Io>, Protocol::One));
    }
    let tls = tls.ok_or_else(|| io::Error::other("no TLS was set up for an https address"))?;
    tls.open(address, tcp, spoken).await
}

/// Opens connections to one endpoint.
#[derive(Clone)]
pub(crate) struct Connect {
    address: Address,
    name: Arc<str>,
    dial: Arc<dyn Dial>,
    params: ConnectParams,
    open: Arc<Gauge>,
}

impl Connect {
    /// Connections to this address; `open` counts those that are open.
    pub(crate) fn new(address: Address, dial: Arc<dyn Dial>, params: ConnectParams, open: Arc<Gauge>) -> Self {
        Self { name: address.to_string().into(), address, dial, params, open }
    }
    async fn open(self) -> Result<Link, Fault> {
        let fault = |cause: String| Fault::Connect { endpoint: self.name.clone(), cause };
        let work = async {
            let (io, protocol) = self.dial.dial(self.address.clone()).await.map_err(|error| error.to_string())?;
            Link::over(io, protocol, self.params.ping, self.open.clone()).await.map_err(|error| error.to_string())
        };
        match timeout(self.params.timeout, work).await {
            Ok(opened) => opened.map_err(fault),
            Err(_) => Err(fault(format!("no connection within {:?}", self.params.timeout))),
        }
    }
}

impl Service<()> for Connect {
    type Response = Link;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<Link, Fault>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, (): ()) -> Self::Future {
        Box::pin(self.clone().open())
    }
}
