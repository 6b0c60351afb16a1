//! How a whole site is, asked of each of its parts directly: `cirro site status` and `cirro site registry`.
//!
//! An operator shows a credential of the site, which its machine has, rather than a token: so the answer comes also when
//! identity, the bus or a database is what does not work.

use crate::serve::status::Status;
use cirro_client::{
    Credential, Http, Place, Reach, Tls,
    credential::CA_FILE,
    registry::{Found, Registry},
};
use cirro_models::{Context, Error, Result, Service, SiteRole};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a part of the site may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many are asked at once.
const AT_ONCE: usize = 32;
/// The file in which `cirro site up` notes where its site is.
const PLACE: &str = "site.json";

/// Where the parts of a site are found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whole {
    /// `etcd://HOST:PORT/PREFIX`.
    pub registry: String,
    /// Where people call; not asked if it is not known.
    pub bus: Option<String>,
    /// The folder of a credential of the site.
    pub credential: PathBuf,
    /// Where nodes call, if it takes any.
    #[serde(default)]
    pub nodes: Option<String>,
}

impl Whole {
    /// As `cirro site up` noted it in its folder. Blocks.
    pub fn of_folder(data: &Path) -> Result<Self> {
        let file = data.join(PLACE);
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Error::unavailable(format!(
                "{} can't be read ({error}): give the folder of `cirro site up` with --data",
                file.display()
            ))
        })?;
        serde_json::from_str(&text)
            .map_err(|error| Error::invalid("data", format!("{} says no place of a site ({error})", file.display())))
    }
    /// Notes it. Blocks.
    pub(super) fn note(&self, data: &Path) -> Result<()> {
        let (file, text) = (data.join(PLACE), serde_json::to_string(self).map_err(Error::internal)?);
        std::fs::write(&file, text)
            .map_err(|error| Error::unavailable(format!("{} can't be written ({error})", file.display())))
    }
    /// Everything that stands in the registry, service by service.
    ///
    /// # Errors
    /// The registry does not answer; or the credential can't be used, which only a registry over TLS needs.
    pub async fn registered(&self) -> Result<Vec<(Service, Found)>> {
        // one in the clear is shown also to who has no credential
        let tls = if self.registry.starts_with("etcds:") { Some(self.registry_tls().await?) } else { None };
        let mut all = Vec::new();
        for service in Service::ALL {
            let url = format!("{}/{}", self.registry.trim_end_matches('/'), service.name());
            let found = Registry::open(&url, tls.clone())?.everything().await?;
            all.extend(found.into_iter().map(|found| (service, found)));
        }
        Ok(all)
    }
    /// Asks every part how it is.
    ///
    /// # Errors
    /// The credential can't be used; what does not answer is no error but part of what is told.
    pub async fn status(&self) -> Result<SiteStatus> {
        let credential = self.credential().await?;
        let tls = credential.tls()?;
        let (registry, found) = match self.registered().await {
            Ok(found) => (Part::well(&self.registry), found),
            Err(error) => (Part { at: self.registry.clone(), complaint: Some(error.to_string()) }, Vec::new()),
        };
        let ask = |(service, found): (Service, Found)| process(service, found, &credential, &tls);
        let processes: Vec<_> = stream::iter(found).map(ask).buffered(AT_ONCE).collect().await;
        let there = |service: &Service| processes.iter().any(|process| process.service == service.name());
        let missing = Service::ALL.iter().filter(|service| !there(service)).map(|service| service.name().to_owned());
        let bus = match &self.bus {
            Some(url) => Some(bus(url, &self.credential.join(CA_FILE)).await),
            None => None,
        };
        Ok(SiteStatus { missing: missing.collect(), processes, registry, bus })
    }
    async fn credential(&self) -> Result<Credential> {
        let folder = self.credential.clone();
        tokio::task::spawn_blocking(move || Credential::load(&folder)).await.map_err(Error::internal)?
    }
    async fn registry_tls(&self) -> Result<Tls> {
        let credential = self.credential().await?;
        Ok(credential.registry_tls(&credential.tls()?))
    }
}

/// How a site is.
#[derive(Debug, Serialize)]
pub struct SiteStatus {
    /// Everything that is registered.
    pub processes: Vec<Process>,
    /// Services without any process.
    pub missing: Vec<String>,
    /// The registry.
    pub registry: Part,
    /// The bus, if it is known where that is.
    pub bus: Option<Part>,
}

/// A process that is registered.
#[derive(Debug, Serialize)]
pub struct Process {
    /// Its service.
    pub service: String,
    /// Its id in the registry.
    pub id: String,
    /// Where it is.
    pub address: Option<String>,
    /// What it says of itself.
    pub status: Option<Status>,
    /// What is not well with it.
    pub complaint: Option<String>,
}

/// Another part of the site.
#[derive(Debug, Serialize)]
pub struct Part {
    /// Where it is.
    pub at: String,
    /// What is not well with it.
    pub complaint: Option<String>,
}

impl Part {
    fn well(at: &str) -> Self {
        Self { at: at.to_owned(), complaint: None }
    }
}

impl SiteStatus {
    /// How many things are not well.
    pub fn complaints(&self) -> usize {
        let processes = self.processes.iter().filter(|process| process.complaint.is_some()).count();
        let parts = std::iter::once(&self.registry).chain(&self.bus).filter(|part| part.complaint.is_some()).count();
        processes + parts + self.missing.len()
    }
}

async fn process(service: Service, found: Found, credential: &Credential, tls: &Tls) -> Process {
    let (id, service) = (found.key, service);
    let address = found.entry.as_ref().ok().map(|entry| entry.address.clone());
    let told = match found.entry {
        Ok(entry) => ask(service, entry.address, credential, tls).await.map_err(|error| error.to_string()),
        Err(why) => Err(format!("what is registered can't be read: {why}")),
    };
    let complaint = match &told {
        Ok(status) => status.complaint().map(str::to_owned),
        Err(why) => Some(why.clone()),
    };
    Process { service: service.name().to_owned(), id, address, status: told.ok(), complaint }
}

/// Only who proves to be that service is believed.
async fn ask(service: Service, address: String, credential: &Credential, tls: &Tls) -> Result<Status> {
    let role = SiteRole::Service(service).uri(credential.site());
    let reach = Reach { tls: Some(tls.expecting(&role)), ..Reach::default() };
    let http = Http::everything_at(&Place::Listed(vec![address]), &reach)?;
    let ctx = Context::client(Arc::default(), None).until(Instant::now() + PATIENCE);
    http.json(&ctx, "GET", "/status", None::<&()>).await
}

/// The bus, by a page that it fetches from a service.
async fn bus(url: &str, ca_file: &Path) -> Part {
    let asked = async {
        let ctx = Context::client(Arc::default(), None).until(Instant::now() + PATIENCE);
        let answer = Http::new(url, Some(ca_file))?.answer(&ctx, "GET", "/healthz", None, &[]).await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.error()) }
    };
    let complaint = asked.await.err().map(|error: Error| error.to_string());
    Part { at: url.to_owned(), complaint }
}
