//! `cirro site bus`: nginx in front of the services, with a configuration that follows the registry.
//!
//! The first segment of a path chooses the service. Requests that may run twice are sent to another process when one fails
//! under them, others never. Nodes have a port of their own, on which their TLS goes through to the services.

mod config;
mod nginx;

use crate::{
    bus::{
        config::{Bus, Members, Word},
        nginx::Nginx,
    },
    http::wait_for_the_end,
    limits::allow_many_connections,
    serve::renewal,
};
use cirro_client::{
    Credential, Endpoints, Place, Tls,
    credential::{CA_FILE, CREDENTIAL_FILE},
};
use cirro_models::{Error, Result, Service, SiteRole};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::{sync::mpsc, time::Instant};

/// How long changes are gathered, so that several that come together are one reload.
const GATHER: Duration = Duration::from_millis(100);
/// The shortest time between two reloads. Each one may cut an idle connection just as it is used again.
const BETWEEN: Duration = Duration::from_secs(1);
/// How often nginx and the files of its certificates are looked after.
const LOOK: Duration = Duration::from_secs(1);
/// The most connections of one of nginx's workers: more than ten thousand nodes have.
const CONNECTIONS: u64 = 32_768;
/// Certificate and key that callers see, in the bus's folder of credentials.
pub const EDGE_FILE: &str = "edge.pem";

/// What the bus is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the site's processes are found: `etcd://HOST:PORT/PREFIX`.
    pub registry: String,
    /// Where people and scripts call.
    pub listen: SocketAddr,
    /// Where agents of nodes call.
    pub nodes: Option<SocketAddr>,
    /// The folder of its credential, with the edge's certificate.
    pub credential: PathBuf,
    /// nginx's own folder.
    pub folder: PathBuf,
    /// Whether to follow the registry until told to end; or else nginx is brought up to date once, and runs on.
    pub watch: bool,
    /// Whether the end of standard input ends it.
    pub until_stdin_closes: bool,
}

/// Runs the bus. `ready` is called with its address once nginx answers.
///
/// # Errors
/// One sentence that says what to do, for whatever keeps it from starting.
pub async fn run(options: Options, ready: impl FnOnce(&str)) -> Result<()> {
    // nginx gets what this process has, and warns when it is told of more
    let connections = allow_many_connections().min(CONNECTIONS);
    let nginx = Nginx::prepare(&options.folder)?;
    let credential = credential(&options)?;
    let bus = bus(&options, nginx.folder(), connections)?;
    let tls = credential.tls()?;
    let mut follower = Follower::begin(&options.registry, &credential.registry_tls(&tls))?;
    let mut inner = Applied { nginx, text: String::new(), files: files(&options.credential).await, last: None };
    // the first answers of the registry are worth a moment; a site that lacks a service is a site, too
    let _ = tokio::time::timeout(LOOK, follower.complete()).await;
    tokio::time::sleep(GATHER).await;
    inner.apply(bus.text(&follower.members().await)).await?;
    tracing::info!(address = %options.listen, "the bus answers");
    ready(&format!("https://{}", options.listen));
    if !options.watch {
        return Ok(());
    }
    // nginx takes the fresh one when the file has changed
    let identity = format!("{}/{}", options.registry.trim_end_matches('/'), Service::Identity.name());
    tokio::spawn(renewal::asking(&identity, &options.credential, &credential, &tls, |_| Ok(()))?.run());
    let mut look = tokio::time::interval(LOOK);
    let mut end = Box::pin(wait_for_the_end(options.until_stdin_closes));
    loop {
        tokio::select! {
            ended = &mut end => { ended?; break; }
            () = follower.changed() => inner.gather().await,
            _ = look.tick() => {}
        }
        let fresh = bus.text(&follower.members().await);
        if let Err(error) = inner.follow(fresh, files(&options.credential).await).await {
            tracing::error!(%error, "the bus goes on with the configuration that it has");
        }
    }
    inner.nginx.stop().await
}

fn credential(options: &Options) -> Result<Credential> {
    let credential = Credential::load(&options.credential)?;
    if credential.role() != SiteRole::Bus {
        return Err(Error::invalid(
            "credential",
            format!("it is that of {}: give the bus's folder", credential.role()),
        ));
    }
    Ok(credential)
}

fn bus(options: &Options, folder: &Path, connections: u64) -> Result<Bus> {
    let at = options.credential.canonicalize().map_err(Error::internal)?;
    let file = |name: &str| Word::path(&at.join(name));
    let root = rustix::process::geteuid().is_root();
    Ok(Bus {
        listen: options.listen,
        nodes: options.nodes,
        folder: Word::path(folder)?,
        edge: file(EDGE_FILE)?,
        credential: file(CREDENTIAL_FILE)?,
        ca: file(CA_FILE)?,
        connections,
        user: if root { Some(Word::new("www-data")?) } else { None },
    })
}

/// Who is there, and word of changes.
struct Follower {
    services: [(Service, Endpoints); 4],
    changes: mpsc::Receiver<()>,
}

impl Follower {
    fn begin(registry: &str, tls: &Tls) -> Result<Self> {
        let (sender, changes) = mpsc::channel(1);
        let follow = |service: Service| -> Result<(Service, Endpoints)> {
            let place = format!("{}/{}", registry.trim_end_matches('/'), service.name()).parse::<Place>()?;
            let endpoints = Endpoints::at(&place, true, Some(tls.clone()))?;
            let (mut following, sender) = (endpoints.clone(), sender.clone());
            tokio::spawn(async move {
                while following.changed().await.is_some() {
                    // one that is there already says the same
                    if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
                        return;
                    }
                }
            });
            Ok((service, endpoints))
        };
        let [a, b, c, d] = Service::ALL;
        Ok(Self { services: [follow(a)?, follow(b)?, follow(c)?, follow(d)?], changes })
    }
    async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // nobody follows any more, which can't happen before this ends
            std::future::pending::<()>().await;
        }
    }
    /// Waits until there is a process of each service. Each is followed by itself: the first answer says nothing of the
    /// other services, and who brings nginx up to date only once would leave them out.
    async fn complete(&mut self) {
        while self.services.iter().any(|(_, endpoints)| endpoints.now().is_empty()) {
            self.changed().await;
        }
    }
    /// The addresses of all, in an order that does not depend on who came first.
    async fn members(&self) -> Members {
        let mut members = Service::ALL.map(|service| (service, Vec::new()));
        for ((service, endpoints), (_, found)) in self.services.iter().zip(&mut members) {
            for address in endpoints.now().iter() {
                // nginx would look a name up once, and refuse to start while it can't
                match tokio::net::lookup_host((address.host(), address.port())).await {
                    Ok(addresses) => found.extend(addresses),
                    Err(error) => {
                        tracing::warn!(%error, service = service.name(), %address, "registry.name: a process is passed over whose name can't be found");
                    }
                }
            }
            found.sort_unstable();
            found.dedup();
        }
        members
    }
}

/// What nginx uses now.
struct Applied {
    nginx: Nginx,
    text: String,
    files: Vec<Option<SystemTime>>,
    last: Option<Instant>,
}

impl Applied {
    /// Waits for changes that come together with one, and for the time between reloads.
    async fn gather(&self) {
        let earliest = self.last.map_or_else(Instant::now, |last| last + BETWEEN);
        tokio::time::sleep_until(earliest.max(Instant::now() + GATHER)).await;
    }
    /// Brings nginx up to what is wanted: other processes, other certificates, or an nginx that has died.
    async fn follow(&mut self, text: String, files: Vec<Option<SystemTime>>) -> Result<()> {
        let died = !self.nginx.runs();
        if died {
            tracing::error!("bus.died: nginx has ended and is started again");
        }
        if !died && text == self.text && files == self.files {
            return Ok(());
        }
        self.apply(text).await?;
        // only now: what could not be applied is tried again
        self.files = files;
        Ok(())
    }
    async fn apply(&mut self, text: String) -> Result<()> {
        self.nginx.apply(&text).await?;
        tracing::info!("the bus has a new configuration");
        self.text = text;
        self.last = Some(Instant::now());
        Ok(())
    }
}

/// When the files of certificates were written.
async fn files(credential: &Path) -> Vec<Option<SystemTime>> {
    let mut written = Vec::new();
    for name in [CA_FILE, CREDENTIAL_FILE, EDGE_FILE] {
        let file = tokio::fs::metadata(credential.join(name)).await;
        written.push(file.and_then(|file| file.modified()).ok());
    }
    written
}
