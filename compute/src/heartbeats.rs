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

/// What this process has taken over of each node that is well.
#[derive(Default)]
pub(crate) struct Heartbeats(Mutex<HashMap<Id<Node>, Beat>>);

/// A report that tells that a machine is there, and nothing else: of which boot, and what it says of the machine.
#[derive(PartialEq)]
pub(crate) struct Beat(Uuid, NodeSeen);

impl Beat {
    /// What a report is, if it is one.
    pub(crate) fn of(report: &NodeReport) -> Option<Self> {
        let plain = report.is_heartbeat() && report.unclaimed.is_empty() && report.under_way.is_none();
        plain.then(|| Self(report.boot_id, report.node.clone()))
    }
}

impl Heartbeats {
    /// Whether this was taken over before.
    pub(crate) fn repeats(&self, node: Id<Node>, beat: &Beat) -> bool {
        self.0.lock().get(&node) == Some(beat)
    }
    /// A report has been taken over, which was this beat, or more than one.
    pub(crate) fn taken(&self, node: Id<Node>, beat: Option<Beat>) {
        let mut all = self.0.lock();
        match beat {
            Some(beat) => drop(all.insert(node, beat)),
            None => drop(all.remove(&node)),
        }
    }
    /// Only of these nodes the rows still are as was told; the others have to say it again, whoever has changed their rows.
    pub(crate) fn keep(&self, well: &HashSet<Id<Node>>) {
        self.0.lock().retain(|node, _| well.contains(node));
    }
}
