//! Simulated nodes: the real agent over machines without guests, in this process.

mod boot;
mod failing;
mod fence;
mod simulation;

pub use boot::Boot;
pub use failing::Failing;
pub(crate) use fence::Machines;
pub use simulation::Simulation;

use crate::up::services::Site;
use cirro_identity::bootstrap::node_credentials;
use cirro_models::{
    GiB, Labels, MiB, Page, Result, Vcpus, Verbs,
    compute::node::NewNode,
    identity::{Project, project::ProjectFilter},
};
use cirro_node_agent_core::{
    agent::{Agent, Settings},
    http::HttpControlPlane,
    simulated::{Knobs, Ledger, Simulated},
};
use failing::{Ending, Plight, plights};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{collections::HashMap, sync::Arc};
use tokio::{sync::watch, time::Instant};

/// Disk of a simulated node, in GiB.
const DISK_GIB: i64 = 4096;
/// The image that can be launched at once: nothing ever boots from it.
const IMAGE: (&str, &[u8]) = ("demo", b"a disk for simulated guests\n");

/// The agents, and the ledger of what they do.
pub(crate) struct Agents {
    end: watch::Sender<()>,
    ledger: Option<Ledger>,
}

impl Agents {
    /// Ends the agents; the ledger is complete then.
    pub(crate) async fn end(self) {
        drop(self.end);
        if let Some(ledger) = self.ledger {
            ledger.end().await;
        }
    }
}

/// Makes the nodes and an image, and starts the agents.
pub(crate) async fn start(
    site: &Site,
    url: &str,
    simulation: Simulation,
    machines: &Machines,
    settings: Settings,
    ledger: Option<Ledger>,
) -> Result<Agents> {
    let (end, ended) = watch::channel(());
    if simulation.nodes > 0 {
        allow_many_connections();
        let first = Project::list(&site.identity.own_context(), &ProjectFilter::default(), &Page::first(1)).await?;
        if let Some(project) = first.items.first() {
            cirro_images::defaults::image(&site.images.own_context(), project, IMAGE.0, IMAGE.1).await?;
        }
    }
    let news: Vec<NewNode> = (1..=simulation.nodes).map(|n| new_node(n, &simulation)).collect::<Result<_>>()?;
    let names: Vec<_> = news.iter().map(|new| new.name.clone()).collect();
    let nodes = cirro_compute::defaults::nodes(&site.compute.own_context(), news).await?;
    let credentials = node_credentials(&site.identity.own_context(), &nodes).await?;
    let mut plights = plights(&simulation.failing, simulation.nodes, simulation.seed);
    let (began, mut made) = (Instant::now(), HashMap::new());
    for (((n, name), node), credential) in (1..).zip(names).zip(nodes).zip(credentials) {
        let plight = plights.remove(&n).unwrap_or_default();
        let machine = Simulated::new(knobs(n, &simulation))
            .failing(began, plight.faults.clone())
            .recorded(ledger.as_ref().map(|ledger| ledger.book(name.clone())));
        let machine = Arc::new(machine);
        made.insert(name, machine.clone());
        let control_plane = HttpControlPlane::new(url, node, credential)?;
        let agent = Agent::new(Arc::new(control_plane), machine.clone(), settings);
        tokio::spawn(run(agent, machine, began, plight, ended.clone()));
    }
    machines.are(made);
    Ok(Agents { end, ledger })
}

fn new_node(n: u32, simulation: &Simulation) -> Result<NewNode> {
    Ok(NewNode {
        name: format!("node-{n:04}").parse()?,
        vcpus: Vcpus::new(i64::from(simulation.vcpus)),
        memory_mib: MiB::new(simulation.memory_mib()),
        disk_gib: GiB::new(DISK_GIB),
        mode: None,
        labels: Labels::from([("rack".to_owned(), format!("r{:02}", (n - 1) % 10 + 1))]),
    })
}

fn knobs(n: u32, simulation: &Simulation) -> Knobs {
    Knobs {
        vcpus: i64::from(simulation.vcpus),
        memory_mib: simulation.memory_mib(),
        boot: simulation.boot.times(),
        // each node has its own chance
        seed: simulation.seed ^ (u64::from(n) << 32),
        ..Knobs::default()
    }
}

/// One agent, until its site ends or it meets its own end.
async fn run(agent: Agent, machine: Arc<Simulated>, began: Instant, plight: Plight, mut ended: watch::Receiver<()>) {
    let stop = async move { drop(ended.changed().await) };
    let its_end = async {
        match plight.ending {
            Some((ending, at)) => {
                tokio::time::sleep_until(began + at).await;
                ending
            }
            None => std::future::pending().await,
        }
    };
    // the agent's future is dropped there, as by `kill -9`
    let ending = tokio::select! {
        () = agent.run(stop) => return,
        // somebody has switched it off
        () = machine.until_lost() => return,
        ending = its_end => ending,
    };
    tracing::info!(?ending, "a simulated node meets its end, as --fail says");
    if ending == Ending::Crash {
        machine.lose().await;
    }
}

/// Each agent keeps a few connections, whose both ends are files of this process; the usual limit of 1024 is far too low.
fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::info!(%error, "the limit of open files stays as it is");
    }
}
