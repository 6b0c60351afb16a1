//! nginx before the services of a test, as `cirro site bus` puts it there: its configuration follows from what stands in
//! the registry. Behind it there is mutual TLS with certificates of the site's authority; before it, a caller holds that
//! authority's certificate and a token, and nothing else.

use crate::{
    common::{LIMIT, etcd::Etcd, free_port, signal, until},
    site::eventually,
};
use async_trait::async_trait;
use cirro_client::{
    Credential, Http, Place, Reach, Tls,
    credential::CA_FILE,
    registry::{Check, Entry, Registration, Registry, RegistryParams},
};
use cirro_deploy::{bus, site};
use cirro_models::{
    Context, Result, Service,
    remote::{Answer, Call, Transport},
};
use cirro_server::{owner::Running, testkit::Server, token::Verifier};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Weak},
};
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

/// What a process serves, and the service that its certificate says it is.
#[derive(Clone)]
pub(crate) struct Process {
    pub running: Running,
    pub shows: Service,
}

/// nginx before some processes; it ends with this.
pub(crate) struct Bus {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// Whom its callers trust, as PEM.
    pub ca: Vec<u8>,
    /// A client of it.
    pub http: Arc<Http>,
    /// The processes behind it, in the order in which they were given.
    pub servers: Vec<Server>,
    pid_file: PathBuf,
    _kept: (Arc<Shared>, TempDir),
}

impl Bus {
    /// Serves the processes, registers each with the service that it serves, and puts nginx before them.
    pub(crate) async fn before(processes: Vec<Process>, verifier: &Arc<Verifier>) -> Self {
        let folder = tempfile::Builder::new().prefix("cirro-contract-").tempdir().unwrap();
        // nginx's workers pass through to what they write
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (site, nginx) = (folder.path().join("site"), folder.path().join("nginx"));
        credentials(site.clone()).await;
        let shared = Shared::running().await;
        let registry = format!("{}/cirro/{}", shared.etcd.url(), uuid::Uuid::now_v7());
        let (mut servers, mut registered) = (Vec::new(), Vec::new());
        for Process { running, shows } in processes {
            let service = running.service();
            let shown = Credential::load(&site.join(shows.name())).unwrap();
            let server = Server::start_tls(vec![running], verifier, &shown).await;
            registered.push(register(&format!("{registry}/{}", service.name()), &server).await);
            servers.push(server);
        }
        let listen = format!("127.0.0.1:{}", free_port());
        let options = bus::Options {
            registry,
            listen: listen.parse().unwrap(),
            nodes: None,
            credential: site.join("bus"),
            folder: nginx.clone(),
            watch: false,
            until_stdin_closes: false,
        };
        bus::run(options, |_| ()).await.unwrap();
        let (url, ca) = (format!("https://{listen}"), fs::read(site.join("bus").join(CA_FILE)).unwrap());
        let http = Arc::new(client(&url, &ca));
        Self { url, ca, http, servers, pid_file: nginx.join("nginx.pid"), _kept: (shared, folder) }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let id = fs::read_to_string(&self.pid_file).unwrap();
        signal("TERM", id.trim().parse().unwrap());
        until(LIMIT, "nginx has ended", || (!self.pid_file.exists()).then_some(()));
    }
}

/// What the site's processes prove their roles with, each in its folder.
async fn credentials(folder: PathBuf) {
    let init = move || site::init(&folder, &"contract".parse().unwrap(), &["127.0.0.1".to_owned()]);
    tokio::task::spawn_blocking(init).await.unwrap().unwrap();
}

async fn register(prefix: &str, server: &Server) -> Registration {
    let registry = Registry::open(prefix, None).unwrap();
    let address = server.url.strip_prefix("https://").unwrap().to_owned();
    let healthy: Check = Arc::new(|| Box::pin(async { true }));
    let entry = Entry { address, version: String::new() };
    let registration = registry.register("one", &entry, RegistryParams::default(), healthy).unwrap();
    let known = || async { registry.members().await.is_ok_and(|members| !members.is_empty()) };
    eventually("the process is in the registry", known).await;
    registration
}

fn client(url: &str, ca: &[u8]) -> Http {
    let reach = Reach { tls: Some(Tls::site(ca, None).unwrap()), ..Reach::default() };
    Http::everything_at(&url.parse::<Place>().unwrap(), &reach).unwrap()
}

/// The etcd of all buses that there are at a time.
struct Shared {
    etcd: Etcd,
    _folder: TempDir,
}

impl Shared {
    async fn running() -> Arc<Self> {
        static LAST: Mutex<Weak<Shared>> = Mutex::const_new(Weak::new());
        let mut last = LAST.lock().await;
        if let Some(running) = last.upgrade() {
            return running;
        }
        let start = || {
            let folder = tempfile::tempdir().unwrap();
            Arc::new(Self { etcd: Etcd::start(folder.path()), _folder: folder })
        };
        let running = tokio::task::spawn_blocking(start).await.unwrap();
        *last = Arc::downgrade(&running);
        running
    }
}

/// The way through nginx, which is put there for the first who goes it.
pub(crate) struct Through {
    processes: Vec<Process>,
    verifier: Arc<Verifier>,
    bus: OnceCell<Bus>,
}

impl Through {
    pub(crate) fn new(processes: Vec<Running>, verifier: Arc<Verifier>) -> Self {
        let process = |running: Running| Process { shows: running.service(), running };
        Self { processes: processes.into_iter().map(process).collect(), verifier, bus: OnceCell::new() }
    }
    pub(crate) async fn bus(&self) -> &Bus {
        self.bus.get_or_init(|| Bus::before(self.processes.clone(), &self.verifier)).await
    }
}

#[async_trait]
impl Transport for Through {
    async fn send(&self, ctx: &Context, call: Call) -> Result<Answer> {
        self.bus().await.http.send(ctx, call).await
    }
}
