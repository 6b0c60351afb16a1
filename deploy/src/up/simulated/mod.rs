//! Simulated nodes: the real agent over a machine without guests, in this process.

use crate::up::services::Site;
use cirro_identity::bootstrap::node_credential;
use cirro_models::{Error, GiB, MiB, Name, Result, Vcpus};
use cirro_node_agent_core::{
    agent::{Agent, Settings},
    http::HttpControlPlane,
    simulated::{Knobs, Simulated},
};
use std::sync::Arc;
use tokio::sync::watch;

/// Virtual processors of a simulated node.
const VCPUS: i64 = 64;
/// Memory of a simulated node, in MiB.
const MEMORY_MIB: i64 = 256 * 1024;
/// Disk of a simulated node, in GiB.
const DISK_GIB: i64 = 4096;

/// The agents; they end when this is dropped.
pub(crate) struct Agents(#[allow(dead_code, reason = "its drop ends the agents")] watch::Sender<()>);

/// Makes `count` nodes and starts their agents.
pub(crate) async fn start(site: &Site, url: &str, count: u32) -> Result<Agents> {
    let (end, ended) = watch::channel(());
    for n in 1..=count {
        let name = Name::parse(&format!("sim-{n:03}")).map_err(Error::internal)?;
        let (vcpus, memory, disk) = (Vcpus::new(VCPUS), MiB::new(MEMORY_MIB), GiB::new(DISK_GIB));
        let node = cirro_compute::defaults::node(&site.compute.own_context(), name, vcpus, memory, disk).await?;
        let credential = node_credential(&site.identity.own_context(), node).await?;
        let control_plane = Arc::new(HttpControlPlane::new(url, node, credential)?);
        let machine = Arc::new(Simulated::new(Knobs { vcpus: VCPUS, memory_mib: MEMORY_MIB, ..Knobs::default() }));
        let mut ended = ended.clone();
        let stop = async move { drop(ended.changed().await) };
        tokio::spawn(Agent::new(control_plane, machine, Settings::default()).run(stop));
    }
    Ok(Agents(end))
}
