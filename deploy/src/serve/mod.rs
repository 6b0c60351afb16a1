//! `cirro serve`: one service in a process of its own, one of any number.
//!
//! It finds the others in the registry, speaks mutual TLS with them, and is found itself for as long as it answers.

mod health;
mod options;
pub(crate) mod renewal;
mod service;
pub mod status;

pub use options::Options;

use crate::{
    http::{self, Serving},
    limits::allow_many_connections,
    metrics::Exporter,
    tasks,
};
use cirro_client::{Credential, Http, Place, Reach, Tls, registry};
use cirro_models::{Error, Result, Service, SiteRole};
use cirro_server::{tls::ServingTls, token::Verifier};
use status::Teller;
use std::{sync::Arc, time::Duration};

/// How long requests under way are given when the process ends.
const GRACE: Duration = Duration::from_secs(10);

/// Runs a process of one service until it is told to end. `ready` is called with its address once it
/// serves; it is in the registry soon after.
///
/// # Errors
/// One sentence that says what to do, for whatever keeps it from starting.
pub async fn run(options: Options, ready: impl FnOnce(&str)) -> Result<()> {
    allow_many_connections();
    let credential = credential(&options).await?;
    let tls = credential.tls()?;
    let verifier = Arc::new(Verifier::default());
    let others = others(&options, &credential, &tls)?;
    let running = service::open(&options, &verifier).await?.alone(others.clone());
    service::first_start(&options, &running).await?;

    let listener = http::bind(options.listen)?;
    let address = options.address(listener.local_addr().map_err(Error::internal)?)?;
    let serving_tls = ServingTls::new(&credential)?;
    let exporter =
        Exporter::new(options.metrics_token.as_deref(), &[&running], Some(others.clone()), &verifier).await?;
    let serving = Serving {
        services: vec![&running],
        verifier: &verifier,
        tls: Some((&serving_tls, &credential)),
        teller: Some(Teller::new(&running, &verifier)),
        exporter,
        grace: GRACE,
    };
    let (server, handle) = http::start(listener, &serving)?;
    let server = tokio::spawn(server);

    tasks::start(&running);
    tokio::spawn(renewal::of(&options, &credential, &tls, &serving_tls)?.run());
    let (follower, context) = (verifier.clone(), running.clone());
    tokio::spawn(async move { cirro_server::token::follow(follower, || context.own_context()).await });

    let registered = {
        let check = health::check(&address, &credential, &tls, verifier.clone())?;
        let entry = registry::Entry { address: address.clone(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let registry =
            registry::Registry::open(&options.registry_of(options.service), Some(credential.registry_tls(&tls)))?;
        registry.register(&id(&address), &entry, registry::RegistryParams::default(), check)?
    };
    tracing::info!(service = options.service.name(), address, "the process serves");
    ready(&address);

    http::wait_for_the_end(options.until_stdin_closes).await?;
    tracing::info!("the process leaves the registry, and ends when nobody needs it any more");
    registered.stop().await;
    tokio::time::sleep(options.drain).await;
    handle.stop(true).await;
    server.await.map_err(Error::internal)?.map_err(Error::internal)
}

async fn credential(options: &Options) -> Result<Credential> {
    let (folder, service) = (options.credential.clone(), options.service);
    let credential =
        tokio::task::spawn_blocking(move || Credential::load(&folder)).await.map_err(Error::internal)??;
    if credential.role() != SiteRole::Service(service) {
        return Err(Error::invalid(
            "credential",
            format!("it is that of {}: give the folder of {}'s", credential.role(), service.name()),
        ));
    }
    Ok(credential)
}

/// The way to the other services.
fn others(options: &Options, credential: &Credential, tls: &Tls) -> Result<Arc<Http>> {
    let others = Service::ALL.into_iter().filter(|other| *other != options.service);
    let place = |service| Ok((service, options.registry_of(service).parse::<Place>()?));
    let places = others.map(place).collect::<Result<Vec<_>>>()?;
    let (registry_tls, site) = (Some(credential.registry_tls(tls)), Some(credential.site().to_string()));
    let reach = Reach { tls: Some(tls.clone()), site, registry_tls, ..Reach::default() };
    Http::each_at(&places, &reach).map(Arc::new)
}

/// The name in the registry of the process at this address: the same when it is started again.
fn id(address: &str) -> String {
    address.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
