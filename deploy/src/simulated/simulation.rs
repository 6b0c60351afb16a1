//! What simulated nodes a site has.

use super::{Boot, Failing};
use cirro_models::{Error, GiB, Labels, MiB, Name, Result, Vcpus, compute::node::NewNode};
use cirro_node_agent_core::simulated::Ledger;
use std::{ops::Range, path::PathBuf, time::Duration};

/// The highest number of a node.
const LAST: u32 = 99_999;
/// Disk of a simulated node, in GiB.
const DISK_GIB: i64 = 4096;
/// Racks, through which numbers go in turn.
const RACKS: u32 = 10;
/// The most virtual processors of one of them.
const MOST_VCPUS: u32 = 4096;
/// Memory for each virtual processor, in MiB.
const MEMORY_MIB: i64 = 4096;

/// Simulated nodes, and how they fare.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// How many.
    pub nodes: u32,
    /// The number of the first; 1 unless other processes have others.
    pub first: u32,
    /// What chance follows.
    pub seed: u64,
    /// What goes wrong on them.
    pub failing: Vec<Failing>,
    /// How long their guests take to start.
    pub boot: Boot,
    /// Virtual processors of each.
    pub vcpus: u32,
    /// After how long without a lease their watchdogs stop all guests, if they have some. Nothing can switch these machines off.
    pub watchdog: Option<Duration>,
    /// Where all that is done to their guests is written down, and read from at the start.
    pub ledger: Option<PathBuf>,
}

impl Simulation {
    /// Virtual processors of a node if nobody says otherwise.
    pub const VCPUS: u32 = 64;

    /// The most in the process of a site, where both ends of their connections are.
    pub(crate) const MOST_HERE: u32 = 1000;
    /// The most in a process of their own.
    pub(crate) const MOST_APART: u32 = 10_000;

    pub(crate) fn check(&self, most: u32) -> Result<()> {
        if self.nodes > most {
            let what = format!("{} nodes are too many for one process: use at most {most}", self.nodes);
            return Err(Error::invalid("simulate", what));
        }
        if self.first == 0 || self.first.saturating_add(self.nodes) > LAST {
            let what = format!("nodes have numbers from 1 to {LAST}: start {} of them lower", self.nodes);
            return Err(Error::invalid("first", what));
        }
        if self.vcpus == 0 || self.vcpus > MOST_VCPUS {
            let what = format!("a node with {} processors can't be simulated: use 1 to {MOST_VCPUS}", self.vcpus);
            return Err(Error::invalid("node_vcpus", what));
        }
        self.failing.iter().try_for_each(|failing| failing.check(&self.numbers()))
    }
    /// The numbers of the nodes.
    pub(crate) fn numbers(&self) -> Range<u32> {
        self.first..self.first + self.nodes
    }
    /// The name of the node with this number.
    pub(crate) fn name(number: u32) -> Result<Name> {
        format!("node-{number:04}").parse()
    }
    /// The node with this number.
    pub(crate) fn node(&self, number: u32) -> Result<NewNode> {
        Ok(NewNode {
            name: Self::name(number)?,
            vcpus: Vcpus::new(i64::from(self.vcpus)),
            memory_mib: MiB::new(self.memory_mib()),
            disk_gib: GiB::new(DISK_GIB),
            mode: None,
            labels: Labels::from([("rack".to_owned(), format!("r{:02}", (number - 1) % RACKS + 1))]),
        })
    }
    /// Memory of each node, in MiB.
    pub(super) fn memory_mib(&self) -> i64 {
        i64::from(self.vcpus) * MEMORY_MIB
    }
    /// Opened before anything is begun, so that one that can't be written changes nothing.
    pub(crate) async fn open_ledger(&self) -> Result<Option<Ledger>> {
        let Some(path) = self.ledger.clone() else { return Ok(None) };
        let named = path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || Ledger::open(&path)).await.map_err(Error::internal)?;
        let refusal = |error| {
            let ways = "name a file that can be written, or a new one";
            Error::unavailable(format!("the ledger {named} can't be used ({error}): {ways}"))
        };
        opened.map(Some).map_err(refusal)
    }
}
