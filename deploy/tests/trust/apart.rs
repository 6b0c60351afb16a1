//! The services of a site, apart.

use super::relay;
use async_trait::async_trait;
use cirro_client::{Credential, Http, Place, Reach};
use cirro_identity::{
    authority::Authority,
    bootstrap::{FirstAdmin, first_start},
};
use cirro_images::{
    UploadLimits,
    bytes::{ByteStore, Options},
};
use cirro_models::{
    Context, Result, Service, SiteRole,
    identity::Secret,
    remote::{Answer, Call, Transport},
};
use cirro_server::{
    Owner,
    owner::Running,
    testkit::{Backend, Scratch, Server, eventually},
    token::{Verifier, follow},
};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The way to the other services, known once all are served.
#[derive(Default)]
struct Later(OnceLock<Arc<Http>>);

#[async_trait]
impl Transport for Later {
    async fn send(&self, ctx: &Context, call: Call) -> Result<Answer> {
        self.0.get().expect("all services are served").send(ctx, call).await
    }
}

/// One service.
pub(crate) struct Part {
    pub(crate) running: Running,
    pub(crate) server: Server,
}

/// A site whose services are apart.
pub(crate) struct Apart {
    pub(crate) authority: Arc<Authority>,
    pub(crate) parts: Vec<Part>,
    /// Where nodes come in.
    pub(crate) url: String,
    admin: FirstAdmin,
    tasks: Vec<JoinHandle<()>>,
    _kept: (TempDir, Vec<Scratch>),
}

impl Apart {
    pub(crate) async fn start() -> Self {
        let authority = Arc::new(Authority::generate("lab".parse().unwrap()).unwrap());
        let bytes = tempfile::tempdir().unwrap();
        let (mut kept, mut parts, mut ways, mut follows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for service in Service::ALL {
            let shown = authority.credential(SiteRole::Service(service)).unwrap();
            let verifier = Arc::new(Verifier::default());
            let (owner, scratch) = owner(service, &verifier, &authority, bytes.path()).await;
            let way = Arc::new(Later::default());
            let running = owner.alone(way.clone());
            let server = Server::start_tls(vec![running.clone()], &verifier, &shown).await;
            let own = running.clone();
            follows.push(async move { follow(verifier, move || own.own_context()).await });
            kept.push(scratch);
            parts.push(Part { running, server });
            ways.push((way, shown));
        }
        for (way, shown) in ways {
            assert!(way.0.set(Arc::new(direct(&parts, &shown))).is_ok());
        }
        let tasks = follows.into_iter().map(tokio::spawn).collect();
        let listening = |part: &Part| part.server.url.strip_prefix("https://").unwrap().to_owned();
        let url = relay::start(parts.iter().map(|part| (part.running.service(), listening(part))).collect()).await;
        let admin = FirstAdmin::generate().unwrap();
        let site = Self { authority, parts, url, admin, tasks, _kept: (bytes, kept) };
        assert!(first_start(&site.part(Service::Identity).running.own_context(), site.admin.clone()).await.unwrap());
        site
    }
    pub(crate) fn part(&self, service: Service) -> &Part {
        self.parts.iter().find(|part| part.running.service() == service).unwrap()
    }
    /// A client of each service, with this certificate.
    pub(crate) fn client(&self, shown: &Credential) -> Http {
        direct(&self.parts, shown)
    }
    /// The administrator, who works in the first project and comes through the bus.
    pub(crate) async fn operator(&self) -> Context {
        let bus = Arc::new(self.client(&self.authority.credential(SiteRole::Bus).unwrap()));
        let secret: Secret = self.admin.password.clone();
        let login = cirro_client::Login { name: "admin".to_owned(), secret, project: Some("default".to_owned()) };
        // the service that was asked last may have heard of its keys only just now
        let token = login.token(&bus).await.unwrap();
        let ctx = cirro_client::context(bus, Some(token.token));
        eventually("all services know the keys", async || knows(&ctx).await.ok()).await;
        ctx
    }
}

async fn knows(ctx: &Context) -> Result<()> {
    use cirro_models::{Page, Verbs, compute::Node, images::MachineImage, storage::StoragePool};
    Node::list(ctx, &Default::default(), &Page::first(1)).await?;
    StoragePool::list(ctx, &Default::default(), &Page::first(1)).await?;
    MachineImage::list(ctx, &Default::default(), &Page::first(1)).await.map(drop)
}

fn direct(parts: &[Part], shown: &Credential) -> Http {
    let place = |part: &Part| (part.running.service(), part.server.url.parse::<Place>().unwrap());
    let places: Vec<_> = parts.iter().map(place).collect();
    let reach = Reach { tls: Some(shown.tls().unwrap()), site: Some("lab".to_owned()), ..Reach::default() };
    Http::each_at(&places, &reach).unwrap()
}

async fn owner(
    service: Service,
    verifier: &Arc<Verifier>,
    authority: &Arc<Authority>,
    bytes: &std::path::Path,
) -> (Owner, Scratch) {
    let migrations = match service {
        Service::Identity => cirro_identity::MIGRATIONS,
        Service::Compute => cirro_compute::MIGRATIONS,
        Service::Storage => cirro_storage::MIGRATIONS,
        Service::Images => cirro_images::MIGRATIONS,
    };
    let scratch = Backend::Sqlite.open(migrations).await.unwrap();
    let database = scratch.database.clone();
    let owner = match service {
        Service::Identity => {
            cirro_identity::service(database, verifier.clone(), Some(authority.clone())).await.unwrap()
        }
        Service::Compute => cirro_compute::service(database),
        Service::Storage => cirro_storage::service(database),
        Service::Images => {
            let store = ByteStore::open_at(bytes.to_owned(), Options::default()).await.unwrap();
            cirro_images::service(database, store, &UploadLimits::default())
        }
    };
    (owner, scratch)
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
