//! What simulated nodes a site has.

use super::{Boot, Failing};
use cirro_models::{Error, Result};
use cirro_node_agent_core::simulated::Ledger;
use std::path::PathBuf;

/// The most simulated nodes of one process.
const MOST: u32 = 1000;
/// The most virtual processors of one of them.
const MOST_VCPUS: u32 = 4096;
/// Memory for each virtual processor, in MiB.
const MEMORY_MIB: i64 = 4096;

/// Simulated nodes, and how they fare.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// How many.
    pub nodes: u32,
    /// What chance follows.
    pub seed: u64,
    /// What goes wrong on them.
    pub failing: Vec<Failing>,
    /// How long their guests take to start.
    pub boot: Boot,
    /// Virtual processors of each.
    pub vcpus: u32,
    /// Where all that is done to their guests is written down.
    pub ledger: Option<PathBuf>,
}

impl Simulation {
    /// Virtual processors of a node if nobody says otherwise.
    pub const VCPUS: u32 = 64;

    pub(in crate::up) fn check(&self) -> Result<()> {
        if self.nodes > MOST {
            let what = format!("{} nodes are too many for one process: use at most {MOST}", self.nodes);
            return Err(Error::invalid("simulate", what));
        }
        if self.vcpus == 0 || self.vcpus > MOST_VCPUS {
            let what = format!("a node with {} processors can't be simulated: use 1 to {MOST_VCPUS}", self.vcpus);
            return Err(Error::invalid("node_vcpus", what));
        }
        self.failing.iter().try_for_each(|failing| failing.check(self.nodes))
    }
    /// Memory of each node, in MiB.
    pub(super) fn memory_mib(&self) -> i64 {
        i64::from(self.vcpus) * MEMORY_MIB
    }
    /// Opened before anything is begun, so that one that can't be written changes nothing.
    pub(in crate::up) async fn open_ledger(&self) -> Result<Option<Ledger>> {
        let Some(path) = self.ledger.clone() else { return Ok(None) };
        let named = path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || Ledger::open(&path)).await.map_err(Error::internal)?;
        let refusal = |error| {
            Error::unavailable(format!("the ledger {named} can't be opened ({error}): name a file that can be written"))
        };
        opened.map(Some).map_err(refusal)
    }
}
