//! Simulated nodes in the process of their site.

use crate::{
    limits::allow_many_connections,
    simulated::{IMAGE, Lives, Machines, Simulation},
    up::services::Site,
};
use cirro_identity::bootstrap::node_credentials;
use cirro_models::{
    Page, Result, Verbs,
    compute::node::NewNode,
    identity::{Project, project::ProjectFilter},
};
use cirro_node_agent_core::{agent::Settings, http::HttpControlPlane, simulated::Ledger};
use std::sync::Arc;

/// Makes the nodes and an image, and starts the agents.
pub(super) async fn start(
    site: &Site,
    url: &str,
    simulation: Simulation,
    machines: &Machines,
    settings: Settings,
    ledger: Option<Ledger>,
) -> Result<Lives> {
    if simulation.nodes > 0 {
        allow_many_connections();
        let first = Project::list(&site.identity.own_context(), &ProjectFilter::default(), &Page::first(1)).await?;
        if let Some(project) = first.items.first() {
            cirro_images::defaults::image(&site.images.own_context(), project, IMAGE.0, IMAGE.1).await?;
        }
    }
    let numbers = simulation.numbers();
    let news: Vec<NewNode> = numbers.clone().map(|n| simulation.node(n)).collect::<Result<_>>()?;
    let nodes = cirro_compute::defaults::nodes(&site.compute.own_context(), news).await?;
    let credentials = node_credentials(&site.identity.own_context(), &nodes).await?;
    let mut lives = Lives::new(simulation, settings, ledger)?;
    for ((number, node), credential) in numbers.zip(nodes).zip(credentials) {
        lives.begin(number, Arc::new(HttpControlPlane::new(url, node, credential)?))?;
    }
    machines.are(lives.machines());
    Ok(lives)
}
