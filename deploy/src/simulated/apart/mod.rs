//! `cirro site simulate`: a process of simulated nodes that joins a site as machines do, each with its own key and
//! certificate. All that it has is in the folder `simulated` of the site: killed and started again, it goes on as the same
//! nodes, with the guests that its ledger tells of.

mod folder;
mod image;
mod joining;
mod renewals;

use super::{Lives, Simulation, power, settings};
use crate::{http::wait_for_the_end, limits::allow_many_connections, site::Whole};
use cirro_client::{Credential, Renewal};
use cirro_compute::fence::Patience;
use cirro_models::{Error, Result};
use cirro_node_agent_core::http::HttpControlPlane;
use folder::Folder;
use futures_util::{StreamExt, TryStreamExt, stream};
use joining::Joining;
use std::{ops::Range, path::PathBuf, pin::pin, sync::Arc, time::Duration};
use tokio::task::JoinSet;

pub(crate) use folder::{FOLDER, fence};

/// Machines that join at a time: each takes a few handshakes.
const AT_ONCE: usize = 16;
/// From one begin to the next: a thousand handshakes at the same moment are more than two processors do before callers give up.
const PACE: Duration = Duration::from_millis(10);

/// What a process of simulated nodes is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of a site that `cirro site up` runs.
    pub data: PathBuf,
    /// Where that site takes nodes, if its folder does not say.
    pub url: Option<String>,
    /// The nodes. Without a ledger of their own they have one in the folder.
    pub simulation: Simulation,
    /// Whether the end of standard input ends it.
    pub until_stdin_closes: bool,
}

/// Runs until it is told to end. `ready` is called when all agents work.
///
/// # Errors
/// One sentence that says what to do, for whatever keeps it from starting.
pub async fn run(options: Options, ready: impl FnOnce()) -> Result<()> {
    let end = wait_for_the_end(options.until_stdin_closes);
    tokio::pin!(end);
    let (lives, mut beside) = tokio::select! {
        told = &mut end => return told,
        begun = begin(options) => begun?,
    };
    ready();
    end.await?;
    tracing::info!("the simulated nodes end; their guests run on");
    lives.end().await;
    beside.shutdown().await;
    Ok(())
}

/// Everything begins: the machines, and what is done beside them.
async fn begin(options: Options) -> Result<(Lives, JoinSet<()>)> {
    let mut simulation = options.simulation;
    simulation.check(Simulation::MOST_APART)?;
    allow_many_connections();
    let (data, numbers) = (options.data.clone(), simulation.numbers());
    let whole = off_thread(move || Whole::of_folder(&data)).await?;
    let url = options.url.or(whole.nodes).ok_or_else(|| {
        let what = "this site does not say where it takes nodes: give it with --nodes-url https://HOST:PORT";
        Error::invalid("nodes_url", what)
    })?;
    let data = options.data.clone();
    let folder = Arc::new(off_thread(move || Folder::open(&data, numbers)).await?);
    simulation.ledger.get_or_insert_with(|| folder.own("ledger"));
    let ledger = simulation.open_ledger().await?;
    let at = folder.clone();
    let mut joining = None;
    if !off_thread(move || Ok(at.is_complete())).await? {
        joining = Some(Joining::new(&options.data, &url, folder.clone(), &simulation).await?);
    }

    let mut lives = Lives::new(simulation.clone(), settings(Patience::default()), ledger)?;
    let renewals = begin_nodes(&mut lives, simulation.numbers(), joining.as_ref(), &url, &folder).await?;
    if joining.is_some() {
        let at = folder.clone();
        off_thread(move || at.complete()).await?;
    }
    let mut beside = JoinSet::new();
    let at = folder.clone();
    beside.spawn(power::serve(off_thread(move || at.listen()).await?, lives.machines()));
    beside.spawn(renewals::run(renewals));
    // it is held for as long as the nodes live
    beside.spawn(async move {
        let _folder = folder;
        std::future::pending::<()>().await;
    });
    Ok((lives, beside))
}

/// The nodes with these numbers begin, each as soon as it has joined: one that waited for the others would be silent.
async fn begin_nodes(
    lives: &mut Lives,
    numbers: Range<u32>,
    joining: Option<&Joining>,
    url: &str,
    folder: &Folder,
) -> Result<Vec<Renewal>> {
    let one = async |number| {
        if let Some(joining) = joining {
            joining.one(number).await?;
        }
        Ok::<_, Error>((number, way(url, folder.node(number)?).await?))
    };
    let mut ways = pin!(stream::iter(numbers).map(one).buffer_unordered(AT_ONCE));
    let mut renewals = Vec::new();
    while let Some((number, (plane, renewal))) = ways.try_next().await? {
        renewals.push(renewal);
        lives.begin(number, Arc::new(plane))?;
        tokio::time::sleep(PACE).await;
    }
    Ok(renewals)
}

/// The way of the node whose credential is in this folder to its control plane.
async fn way(url: &str, folder: PathBuf) -> Result<(HttpControlPlane, Renewal)> {
    let read = folder.clone();
    let credential = off_thread(move || Credential::load(&read)).await?;
    HttpControlPlane::certified(url, credential, folder)
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}
