//! Where an instance goes: pure functions from a snapshot of the nodes to a choice with its reasons.
//!
//! filter → rank: of the nodes that have room, the one where the least of what is scarcest stays free loses, so guests
//! spread; ties go to the lower id, so that the same snapshot gives the same answer.

use cirro_models::{
    Error, GiB, Id, MiB, Vcpus,
    compute::node::{Node, NodeStatus},
};
use std::collections::BTreeMap;

/// What an instance takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Virtual processors.
    pub vcpus: Vcpus,
    /// Memory.
    pub memory_mib: MiB,
    /// Disk.
    pub disk_gib: GiB,
}

/// A node with what its claims leave free.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The node.
    pub id: Id<Node>,
    /// Its name, for operators.
    pub name: String,
    /// Whether it reports.
    pub status: NodeStatus,
    /// Whether it takes new guests.
    pub schedulable: bool,
    /// Its approved capacity.
    pub capacity: Need,
    /// What is claimed.
    pub claimed: Need,
}

impl Candidate {
    fn free(&self) -> (i64, i64, i64) {
        (
            self.capacity.vcpus.get() - self.claimed.vcpus.get(),
            self.capacity.memory_mib.get() - self.claimed.memory_mib.get(),
            self.capacity.disk_gib.get() - self.claimed.disk_gib.get(),
        )
    }
    /// Why the instance can't go here; nothing if it can.
    fn refusal(&self, need: &Need) -> Option<&'static str> {
        let (vcpus, memory, disk) = self.free();
        match self.status {
            NodeStatus::Ready => {}
            NodeStatus::Silent => return Some("does not report"),
            _ => return Some("has not reported yet"),
        }
        if !self.schedulable {
            return Some("takes no new instances");
        }
        if vcpus < need.vcpus.get() {
            return Some("has too few free vCPUs");
        }
        if memory < need.memory_mib.get() {
            return Some("has too little free memory");
        }
        (disk < need.disk_gib.get()).then_some("has too little free disk")
    }
    /// The share of the scarcest resource that would stay free, in thousandths.
    fn slack(&self, need: &Need) -> i64 {
        let (vcpus, memory, disk) = self.free();
        let left = |free: i64, need: i64, all: i64| (free - need) * 1000 / all.max(1);
        left(vcpus, need.vcpus.get(), self.capacity.vcpus.get())
            .min(left(memory, need.memory_mib.get(), self.capacity.memory_mib.get()))
            .min(left(disk, need.disk_gib.get(), self.capacity.disk_gib.get()))
    }
}

/// The best node for this need, or why there is none.
///
/// # Errors
/// `NoCapacity` with a reason for each kind of refusal and its count, and the nearest fix.
pub fn place(need: &Need, nodes: &[Candidate]) -> Result<Id<Node>, Error> {
    let fitting = nodes.iter().filter(|node| node.refusal(need).is_none());
    if let Some(best) = fitting.max_by_key(|node| (node.slack(need), std::cmp::Reverse(node.id))) {
        return Ok(best.id);
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for refusal in nodes.iter().filter_map(|node| node.refusal(need)) {
        *counts.entry(refusal).or_default() += 1;
    }
    let of = nodes.len();
    let reasons: Vec<String> =
        counts.iter().map(|(reason, count)| format!("{count} of {of} nodes: {reason}")).collect();
    let wanted = format!("{}, {} and {} of disk", need.vcpus, need.memory_mib, need.disk_gib);
    let fix = nearest_fix(need, nodes, &counts);
    Err(Error::NoCapacity { detail: format!("no node has room for {wanted}: {fix}"), reasons })
}

fn nearest_fix(need: &Need, nodes: &[Candidate], counts: &BTreeMap<&str, usize>) -> String {
    if nodes.is_empty() {
        return "the site has no node yet; start an agent".to_owned();
    }
    let most = counts.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| *reason).unwrap_or_default();
    let ready = || nodes.iter().filter(|node| node.status == NodeStatus::Ready && node.schedulable);
    match most {
        "has too few free vCPUs" => {
            let best = ready().map(|node| node.free().0).max().unwrap_or(0);
            format!("the most that is free on one node is {best} vCPUs; use a smaller flavor or delete something")
        }
        "has too little free memory" => {
            let best = ready().map(|node| node.free().1).max().unwrap_or(0);
            format!("the most that is free on one node is {best} MiB; use a smaller flavor or delete something")
        }
        "has too little free disk" => {
            let best = ready().map(|node| node.free().2).max().unwrap_or(0);
            format!(
                "the most disk that is free on one node is {best} GiB ({} asked); use a smaller flavor or delete something",
                need.disk_gib
            )
        }
        "takes no new instances" => "set `schedulable` on a node again".to_owned(),
        _ => "check the agents (`cirro node list`)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn need(vcpus: i64, memory: i64, disk: i64) -> Need {
        Need { vcpus: Vcpus::new(vcpus), memory_mib: MiB::new(memory), disk_gib: GiB::new(disk) }
    }
    fn node(n: u128, claimed: Need) -> Candidate {
        Candidate {
            id: Id::from_uuid(uuid::Uuid::from_u128(n)),
            name: format!("n{n}"),
            status: NodeStatus::Ready,
            schedulable: true,
            capacity: need(8, 8192, 100),
            claimed,
        }
    }

    #[test]
    fn guests_spread() {
        let nodes = [node(1, need(4, 1024, 10)), node(2, need(0, 0, 0))];
        assert_eq!(place(&need(1, 512, 5), &nodes).ok(), Some(nodes[1].id));
    }

    #[test]
    fn a_refusal_counts_its_reasons_and_names_a_fix() {
        let mut drained = node(1, need(0, 0, 0));
        drained.schedulable = false;
        let nodes = [drained, node(2, need(8, 0, 0)), node(3, need(7, 0, 0))];
        let Err(Error::NoCapacity { detail, reasons }) = place(&need(2, 512, 5), &nodes) else {
            panic!("it must be refused")
        };
        assert!(detail.contains("1 vCPUs") && detail.contains("smaller flavor"), "{detail}");
        assert_eq!(reasons, ["2 of 3 nodes: has too few free vCPUs", "1 of 3 nodes: takes no new instances"]);
    }

    proptest! {
        #[test]
        fn never_more_than_there_is(claims in prop::collection::vec((0i64..10, 0i64..9000, 0i64..120), 0..6), v in 0i64..9, m in 0i64..9000, d in 0i64..120) {
            let nodes: Vec<_> = claims.iter().enumerate().map(|(n, c)| node(n as u128, need(c.0, c.1, c.2))).collect();
            let wanted = need(v, m, d);
            match place(&wanted, &nodes) {
                Ok(id) => {
                    let Some(chosen) = nodes.iter().find(|node| node.id == id) else { panic!("not one of the nodes") };
                    prop_assert!(chosen.refusal(&wanted).is_none());
                }
                Err(_) => prop_assert!(nodes.iter().all(|node| node.refusal(&wanted).is_some())),
            }
        }
    }
}
