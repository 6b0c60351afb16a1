//! The control plane over HTTP.

use crate::{control_plane::ControlPlane, heartbeats::Heartbeats, stopwatch};
use async_trait::async_trait;
use bytes::Bytes;
use cirro_client::{Credential, Http, Login, Place, Reach, Renewal, Session};
use cirro_models::{
    Context, Error, Id, Result, Service, SiteRole, Stores,
    compute::{
        Node,
        assignment::{ImageSpec, NodeAssignment},
        report::NodeReport,
    },
    identity::Secret,
    remote::Answer,
    storage::assignment::{StorageAssignment, StorageReport},
};
use futures_util::{StreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt::Write,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::AsyncWriteExt;

/// How long an answer may take beyond what the control plane may hold it.
const ANSWER: Duration = Duration::from_secs(10);

/// How often a silent connection is asked whether anybody is there: to ask ten thousand nodes' costs more than their heartbeats. Who is
/// not heard by compute is not taken for silent yet when that comes out, and finds another process; from storage only orders
/// would be late, but the bus ends what is silent for two minutes.
const PINGS: [(Service, Duration); 2] =
    [(Service::Compute, Duration::from_secs(40)), (Service::Storage, Duration::from_secs(90))];

/// How long a connection is used: ten thousand nodes that shook hands anew every few minutes would keep the services busy, and
/// with less they would still find other processes of a service within the hour.
const AGE: Duration = Duration::from_mins(30);

/// How long a connection may take to open. When thousands of nodes come at once, those that gave up early would only come again, and
/// what was done for them would be done in vain.
const OPEN: Duration = Duration::from_secs(15);

/// How long an image's bytes may stop arriving: then it is fetched anew, so that no wait for them is for ever.
const STALL: Duration = Duration::from_mins(1);

/// A node's way to its control plane.
pub struct HttpControlPlane {
    node: Id<Node>,
    way: Way,
}

/// How the node proves who it is.
enum Way {
    /// With a credential, for which it gets tokens: to a site in one process, on the same machine.
    Session(Box<Session>),
    /// With its certificate, to each service, which shows its own.
    Certificate { http: Arc<Http>, stores: Arc<Stores> },
}

/// Where the services are: `http://HOST:PORT` of a site in one process, or `https://HOST:PORT`, several of them with commas
/// between, of buses that pass TLS through to each service.
pub fn place(url: &str) -> Result<Place> {
    let mut all = Vec::new();
    for one in url.split(',') {
        let Place::Fixed(addresses) = one.trim().parse()? else {
            let ways = "give it as https://HOST:PORT, several with commas between";
            return Err(Error::invalid("url", format!("{one} is no address of a bus: {ways}")));
        };
        all.extend(addresses);
    }
    Ok(Place::Fixed(all))
}

impl HttpControlPlane {
    /// A session that logs in when it is first used.
    pub fn new(url: &str, node: Id<Node>, credential: Secret) -> Result<Self> {
        let login = Login { name: format!("node:{node}"), secret: credential, project: None };
        Ok(Self { node, way: Way::Session(Box::new(Session::new(Arc::new(Http::new(url, None)?), login))) })
    }
    /// Connections with the certificate in a folder, and what renews it there; that has to be run.
    pub fn certified(url: &str, credential: Credential, folder: PathBuf) -> Result<(Self, Renewal)> {
        let SiteRole::Node(node) = credential.role() else {
            let refusal = format!("{credential:?} is no node's: give the folder that `cirro-node-agent join` has made");
            return Err(Error::invalid("credential_dir", refusal));
        };
        let (tls, place) = (credential.tls()?, place(url)?);
        let places = Service::ALL.map(|service| (service, place.clone()));
        let site = Some(credential.site().to_string());
        let mut reach = Reach { tls: Some(tls.clone()), site, pings: PINGS.to_vec(), ..Reach::default() };
        reach.params.pool.age = AGE;
        reach.params.connect.timeout = OPEN;
        let http = Arc::new(Http::each_at(&places, &reach)?);
        let swap = move |fresh: &Credential| tls.swap(fresh.ca(), Some(&fresh.identity()?));
        let renewal = Renewal::new(credential, folder, http.clone(), Box::new(swap));
        Ok((Self { node, way: Way::Certificate { http, stores: Arc::new(Stores::default()) } }, renewal))
    }

    fn http(&self) -> &Arc<Http> {
        match &self.way {
            Way::Session(session) => session.http(),
            Way::Certificate { http, .. } => http,
        }
    }

    async fn context(&self, within: Duration) -> Result<Context> {
        let ctx = match &self.way {
            Way::Session(session) => session.context().await?,
            Way::Certificate { stores, .. } => Context::client(stores.clone(), None),
        };
        Ok(ctx.until(Instant::now() + within))
    }

    /// A token that is not taken any more (another key, a restored site) is thrown away: the next call logs in again.
    async fn checked<T>(&self, answer: Result<T>) -> Result<T> {
        if let (Err(Error::Unauthenticated { .. }), Way::Session(session)) = (&answer, &self.way) {
            session.renew().await;
        }
        answer
    }

    async fn ask<T: DeserializeOwned>(&self, service: &str, since: Option<&str>, wait: Duration) -> Result<Option<T>> {
        let mut path = format!("/{service}/v1/nodeassignment/{}?wait_ms={}", self.node, wait.as_millis());
        if let Some(since) = since {
            path.push_str("&since=");
            push_encoded(&mut path, since);
        }
        let ctx = self.context(wait + ANSWER).await?;
        let held = since.filter(|_| !wait.is_zero()).map(|since| format!("\"{since}\""));
        let held = held.as_deref().map(|held| [("if-none-match", held)]);
        let headers = held.as_ref().map_or(&[][..], |held| &held[..]);
        let answer = self.http().answer(&ctx, "GET", &path, None, headers).await;
        let orders = answer.and_then(|answer| if answer.status == 304 { Ok(None) } else { answer.read().map(Some) });
        self.checked(orders).await
    }

    async fn tell(&self, service: &str, report: &(impl Serialize + Sync), id: &str) -> Result<()> {
        let path = format!("/{service}/v1/nodereport/{}", self.node);
        let ctx = self.context(ANSWER).await?.named(id);
        let body = serde_json::to_vec(report).map_err(Error::internal)?;
        let answer = self.http().answer(&ctx, "POST", &path, Some(body.into()), &[]).await;
        let answer = self.checked(answer).await?;
        self.checked(heard(&answer)).await
    }
}

fn heard(answer: &Answer) -> Result<()> {
    if (200..300).contains(&answer.status) { Ok(()) } else { Err(answer.error()) }
}

/// A revision is opaque, so every byte of it that is not plain is encoded.
fn push_encoded(path: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

#[async_trait]
impl ControlPlane for HttpControlPlane {
    async fn compute_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<NodeAssignment>> {
        self.ask("compute", since, wait).await
    }

    async fn storage_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<StorageAssignment>> {
        self.ask("storage", since, wait).await
    }

    async fn heartbeats(&self, mut beats: Heartbeats) -> Result<()> {
        let path = format!("/compute/v1/nodeheartbeat/{}", self.node);
        let ctx = self.context(ANSWER).await?;
        let piece = |beat: Option<()>| beat.map(|()| Ok(Bytes::from_static(b".")));
        let pieces = stream::poll_fn(move |cx| beats.poll_recv(cx).map(piece));
        let answer = self.http().upload(&ctx, "POST", &path, pieces, &[]).await;
        let answer = self.checked(answer).await?;
        self.checked(heard(&answer)).await
    }

    async fn lease(&self, within: Duration) -> Result<()> {
        let path = format!("/compute/v1/nodelease/{}?watchdog_s={}", self.node, within.as_secs());
        let ctx = self.context(within).await?;
        let answer = self.http().answer(&ctx, "GET", &path, None, &[]).await;
        let answer = self.checked(answer).await?;
        self.checked(heard(&answer)).await
    }

    async fn report(&self, report: &NodeReport, id: &str) -> Result<()> {
        self.tell("compute", report, id).await
    }

    async fn storage_report(&self, report: &StorageReport, id: &str) -> Result<()> {
        self.tell("storage", report, id).await
    }

    async fn fetch_image(&self, image: &ImageSpec, into: &mut tokio::fs::File) -> Result<()> {
        let ctx = self.context(ANSWER).await?;
        let path = format!("/images/v1/machineimage/{}/bytes", image.id);
        let stalled = |_| Error::unavailable(format!("no byte of the image came for {} s", STALL.as_secs()));
        let streamed = stopwatch::stopped(tokio::time::timeout(STALL, self.http().download(&ctx, &path)));
        let streamed = streamed.await.map_err(stalled)?;
        let mut bytes = self.checked(streamed).await?.bytes;
        while let Some(chunk) = stopwatch::stopped(tokio::time::timeout(STALL, bytes.next())).await.map_err(stalled)? {
            let chunk = chunk.map_err(|error| Error::unavailable(format!("the image's bytes broke off: {error}")))?;
            into.write_all(&chunk).await.map_err(Error::internal)?;
        }
        into.flush().await.map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_buses() {
        for (url, count) in [("http://127.0.0.1:7780", 1), ("https://a:1", 1), ("https://a:1, https://b:2", 2)] {
            assert!(matches!(place(url).unwrap(), Place::Fixed(all) if all.len() == count), "{url}");
        }
        for bad in ["", "a:1", "https://a:1,", "tcp://a:1", "etcd://a:1/x"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
