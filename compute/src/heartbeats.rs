//! Heartbeats that repeat what a node's row says already: they cost neither a read nor a write, or ten thousand idle nodes
//! would keep the database busy.

use cirro_models::{
    Id,
    compute::{
        Node,
        report::{NodeReport, NodeSeen},
    },
};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What this process has taken over of each node that is well: of which boot, and what it said of the machine.
#[derive(Default)]
pub(crate) struct Heartbeats(Mutex<HashMap<Id<Node>, (Uuid, NodeSeen)>>);

impl Heartbeats {
    /// Whether this says nothing that was not taken over before.
    pub(crate) fn repeats(&self, node: Id<Node>, report: &NodeReport) -> bool {
        let all = self.0.lock();
        let same = |(boot, seen): &(Uuid, NodeSeen)| *boot == report.boot_id && *seen == report.node;
        is_plain(report) && all.get(&node).is_some_and(same)
    }
    /// A report has been taken over.
    pub(crate) fn taken(&self, node: Id<Node>, report: &NodeReport) {
        let mut all = self.0.lock();
        if is_plain(report) {
            all.insert(node, (report.boot_id, report.node.clone()));
        } else {
            all.remove(&node);
        }
    }
    /// Only of these nodes the rows still are as was told; the others have to say it again, whoever has changed their rows.
    pub(crate) fn keep(&self, well: &HashSet<Id<Node>>) {
        self.0.lock().retain(|node, _| well.contains(node));
    }
}

/// Whether it tells that a machine is there, and nothing else.
fn is_plain(report: &NodeReport) -> bool {
    report.is_heartbeat() && report.unclaimed.is_empty() && report.under_way.is_none()
}
