//! `cirro up`: a whole site in one process on SQLite, with the node agent of this machine beside it.

mod agent;
mod options;
mod services;
mod simulated;

pub use options::Options;

use crate::{
    data::Data,
    http::{self, Serving},
    metrics::Exporter,
    simulated::{Machines, settings},
};
use cirro_compute::fence::{Fence, FenceCommand, Takeover};
use cirro_identity::bootstrap::{self, FirstAdmin};
use cirro_models::{Error, Result};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How long requests under way are given when the site ends.
const GRACE: Duration = Duration::from_secs(3);

/// What the first start tells: how its administrator logs in.
pub struct FirstLogin {
    /// Where the site answers.
    pub url: String,
    /// Name, password and project of the administrator.
    pub admin: FirstAdmin,
}

/// The site's own fence command.
pub(crate) fn fence(command: Option<PathBuf>) -> Result<Option<Arc<dyn Fence>>> {
    command.map(|path| FenceCommand::at(path).map(|fence| Arc::new(fence) as Arc<dyn Fence>)).transpose()
}

/// Runs a site until it is told to end. `keep` is called at the first start, *before* the administrator exists, with
/// what nobody can be told later; an error there stops the start. `ready` is called with the address once it answers.
///
/// # Errors
/// One sentence that says what to do, for whatever keeps the site from starting.
pub async fn run(
    options: Options,
    keep: impl FnOnce(&FirstLogin) -> Result<()>,
    ready: impl FnOnce(&str),
) -> Result<()> {
    options.check()?;
    // before anything is begun that would have to be ended again
    let agent = options.agent.then(agent::binary).transpose()?;
    let ledger = options.simulation.open_ledger().await?;
    let data = Data::open(&options.data)?;
    let machines = Arc::new(Machines::beside(fence(options.fence_command.clone())?));
    // without anything that it could act on, a fence would only promise
    let simulated = options.simulation.nodes > 0 && options.simulation.watchdog.is_none();
    let fences = options.fence_command.is_some() || simulated;
    let fence = fences.then(|| machines.clone() as Arc<dyn Fence>);
    let site = services::open(&data, Takeover { fence, patience: options.patience }).await?;
    let listener = http::bind(options.listen)?;
    let address = listener.local_addr().map_err(Error::internal)?;
    let url = format!("http://{address}");

    let ctx = site.identity.own_context();
    if bootstrap::is_first_start(&ctx).await? {
        let first = FirstLogin { url: url.clone(), admin: FirstAdmin::generate()? };
        keep(&first)?;
        bootstrap::first_start(&ctx, first.admin).await?;
    }
    cirro_compute::defaults::flavors(&site.compute.own_context()).await?;

    let services = site.all().to_vec();
    let exporter = Exporter::new(options.metrics_token.as_deref(), &services, None, &site.verifier).await?;
    let serving = Serving { services, verifier: &site.verifier, tls: None, teller: None, exporter, grace: GRACE };
    let (server, handle) = http::start(listener, &serving)?;
    let server = tokio::spawn(server);
    site.tend();
    let settings = settings(options.patience);
    let agents = simulated::start(&site, &url, options.simulation, &machines, settings, ledger).await?;
    let agent = match agent {
        Some(binary) => Some(agent::start(&site, &data, &url, binary).await?),
        None => None,
    };
    ready(&url);

    http::wait_for_the_end(false).await?;
    tracing::info!("the site ends; its guests run on");
    agents.end().await;
    if let Some(agent) = agent {
        agent.stop().await;
    }
    handle.stop(true).await;
    server.await.map_err(Error::internal)?.map_err(Error::internal)
}
