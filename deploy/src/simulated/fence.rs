//! The power of simulated machines, for the site's fence: what it says is what the simulation knows.

use async_trait::async_trait;
use cirro_compute::fence::{Fence, Power};
use cirro_models::{Error, Name, Result, compute::Node};
use cirro_node_agent_core::simulated::Simulated;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// The simulated machines of this process by name, and what fences the others.
#[derive(Default)]
pub(crate) struct Machines {
    simulated: OnceLock<HashMap<Name, Arc<Simulated>>>,
    others: Option<Arc<dyn Fence>>,
}

impl Machines {
    /// None yet; other machines are fenced by this.
    pub(crate) fn beside(others: Option<Arc<dyn Fence>>) -> Self {
        Self { others, ..Self::default() }
    }
    /// They are known once they are made.
    pub(crate) fn are(&self, machines: HashMap<Name, Arc<Simulated>>) {
        // a site makes them once
        let _ = self.simulated.set(machines);
    }
    fn of(&self, node: &Node) -> Option<Arc<Simulated>> {
        self.simulated.get()?.get(&node.name).cloned()
    }
    fn other(&self, node: &Node) -> Result<&Arc<dyn Fence>> {
        self.others.as_ref().ok_or_else(|| {
            let what = "is no simulated node, and this site has no fence command: start it with --fence-command";
            Error::unavailable(format!("node {} {what}", node.name))
        })
    }
}

#[async_trait]
impl Fence for Machines {
    async fn off(&self, node: &Node) -> Result<()> {
        match self.of(node) {
            Some(machine) => machine.lose().await.map_err(|failure| Error::unavailable(failure.to_string())),
            None => self.other(node)?.off(node).await,
        }
    }
    async fn power(&self, node: &Node) -> Result<Power> {
        match self.of(node) {
            Some(machine) => Ok(if machine.is_lost() { Power::Off } else { Power::Other }),
            None => self.other(node)?.power(node).await,
        }
    }
}
