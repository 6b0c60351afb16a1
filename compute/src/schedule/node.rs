//! A node as the scheduler sees it, and why it can't take an instance.

use cirro_models::{
    Error, GiB, Id, Labels, MiB, Vcpus,
    compute::node::{Node, NodeMode, NodeStatus},
};

/// What an instance takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Virtual processors.
    pub vcpus: Vcpus,
    /// Memory.
    pub memory_mib: MiB,
    /// Disk.
    pub disk_gib: GiB,
}

impl Need {
    /// Plain numbers: processors, MiB, GiB.
    pub(crate) fn numbers(&self) -> [i64; 3] {
        [self.vcpus.get(), self.memory_mib.get(), self.disk_gib.get()]
    }
    /// What is left of it without another; nothing is ever negative.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let (all, part) = (self.numbers(), other.numbers());
        Self::of(std::array::from_fn(|n| (all[n] - part[n]).max(0)))
    }
    /// This and that.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let (one, other) = (self.numbers(), other.numbers());
        Self::of(std::array::from_fn(|n| one[n].saturating_add(other[n])))
    }
    pub(super) fn of([vcpus, memory, disk]: [i64; 3]) -> Self {
        Self { vcpus: Vcpus::new(vcpus), memory_mib: MiB::new(memory), disk_gib: GiB::new(disk) }
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} and {} of disk", self.vcpus, self.memory_mib, self.disk_gib)
    }
}

/// A node with what is claimed of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The node.
    pub id: Id<Node>,
    /// Whether it reports.
    pub status: NodeStatus,
    /// Whether it takes new guests.
    pub mode: NodeMode,
    /// Whether launches kept failing there just now, so that it is left alone.
    pub failing: bool,
    /// Its approved capacity, overcommit included.
    pub capacity: Need,
    /// What is claimed.
    pub claimed: Need,
    /// What it is labelled with, such as its rack.
    pub labels: Labels,
}

impl Candidate {
    /// What is left, which is less than nothing where the capacity was lowered below what is claimed.
    pub(crate) fn free(&self) -> [i64; 3] {
        let (capacity, claimed) = (self.capacity.numbers(), self.claimed.numbers());
        std::array::from_fn(|n| capacity[n] - claimed[n])
    }
    /// Whether new guests may come here at all.
    pub(crate) fn usable(&self) -> Option<Refusal> {
        match self.status {
            NodeStatus::Ready if self.mode == NodeMode::Maintenance => Some(Refusal::Maintenance),
            NodeStatus::Ready if self.mode != NodeMode::Active => Some(Refusal::Closed),
            NodeStatus::Ready => self.failing.then_some(Refusal::Failing),
            NodeStatus::Stuck => Some(Refusal::Stuck),
            NodeStatus::Silent | NodeStatus::Fencing | NodeStatus::Fenced => Some(Refusal::Silent),
            _ => Some(Refusal::Joining),
        }
    }
}

/// Why an instance can't go to a node. The first that is true counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has never reported.
    Joining,
    /// It has fallen silent.
    Silent,
    /// It does not finish what it has begun.
    Stuck,
    /// It takes no new instances.
    Closed,
    /// Somebody works on it.
    Maintenance,
    /// Launches have kept failing there, and it is left alone for a while.
    Failing,
    /// The instance was on it before, and had to leave.
    Tried,
    /// Too few free processors.
    Vcpus,
    /// Too little free memory.
    Memory,
    /// Too little free disk.
    Disk,
    /// Instances are there that this one must not be beside.
    Apart,
    /// Instances that this one must be beside are elsewhere, or the node has no room for all of them.
    Together,
    /// It would make the instances uneven over a label, or has no such label.
    Uneven,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Joining,
        Self::Silent,
        Self::Stuck,
        Self::Closed,
        Self::Maintenance,
        Self::Failing,
        Self::Tried,
        Self::Vcpus,
        Self::Memory,
        Self::Disk,
        Self::Apart,
        Self::Together,
        Self::Uneven,
    ];

    /// What it says of a node.
    pub fn text(self) -> &'static str {
        match self {
            Self::Joining => "has not reported yet",
            Self::Silent => "does not report",
            Self::Stuck => "does not finish what it has begun",
            Self::Closed => "takes no new instances",
            Self::Maintenance => "is in maintenance",
            Self::Failing => "keeps failing, and is left alone for a while",
            Self::Tried => "was tried before",
            Self::Vcpus => "has too few free vCPUs",
            Self::Memory => "has too little free memory",
            Self::Disk => "has too little free disk",
            Self::Apart => "holds instances that must be on different nodes",
            Self::Together => "can't hold all instances that must be on the same node",
            Self::Uneven => "would make the spread uneven",
        }
    }
}

/// What is too little of something, if anything is.
pub(super) fn lacks(free: [i64; 3], need: [i64; 3]) -> Option<Refusal> {
    let short = free.iter().zip(need).position(|(free, need)| need > 0 && *free < need)?;
    Some([Refusal::Vcpus, Refusal::Memory, Refusal::Disk][short])
}

/// The part of the scarcest resource that stays free, in thousandths.
pub(super) fn slack(free: [i64; 3], need: [i64; 3], capacity: [i64; 3]) -> i64 {
    let left = |n: usize| (free[n] - need[n]) * 1000 / capacity[n].max(1);
    left(0).min(left(1)).min(left(2))
}

/// Refuses what no node could hold if it were empty: waiting or deleting would not help.
///
/// # Errors
/// `NoCapacity` with what the largest nodes have.
pub fn require_possible(group: &str, need: &Need, nodes: &[Candidate]) -> Result<(), Error> {
    let wanted = need.numbers();
    if nodes.is_empty() || nodes.iter().any(|node| lacks(node.capacity.numbers(), wanted).is_none()) {
        return Ok(());
    }
    let most: [i64; 3] =
        std::array::from_fn(|n| nodes.iter().map(|node| node.capacity.numbers()[n]).max().unwrap_or(0));
    let detail = format!(
        "no node of this site could ever hold one of {group} with {need}; the most that any node has are {}: use a smaller flavor",
        Need::of(most)
    );
    let short = nodes.iter().filter_map(|node| lacks(node.capacity.numbers(), wanted));
    let mut counts = std::collections::BTreeMap::new();
    short.for_each(|refusal| *counts.entry(refusal.text()).or_insert(0) += 1);
    let of = nodes.len();
    let reasons = counts.into_iter().map(|(reason, count)| format!("{count} of {of} nodes: {reason} even if empty"));
    Err(Error::NoCapacity { detail, reasons: reasons.collect() })
}
