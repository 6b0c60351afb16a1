//! `cirro up`: a whole site in one process on SQLite, with the node agent of this machine beside it.

mod agent;
mod options;
mod services;
mod simulated;

pub use options::Options;
pub use simulated::{Boot, Failing, Simulation};

use crate::{
    data::Data,
    http::{self, Serving},
    metrics::Exporter,
};
use cirro_identity::bootstrap::{self, FirstAdmin};
use cirro_models::{Error, Result};
use std::time::Duration;

/// How long requests under way are given when the site ends.
const GRACE: Duration = Duration::from_secs(3);

/// What the first start tells: how its administrator logs in.
pub struct FirstLogin {
    /// Where the site answers.
    pub url: String,
    /// Name, password and project of the administrator.
    pub admin: FirstAdmin,
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
    let ledger = options.simulation.open_ledger().await?;
    let data = Data::open(&options.data)?;
    let site = services::open(&data).await?;
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
    let agents = simulated::start(&site, &url, options.simulation, ledger).await?;
    let agent = if options.agent { Some(agent::start(&site, &data, &url).await?) } else { None };
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
