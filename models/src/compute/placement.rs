//! Why an instance is where it is, and what a plan would do.

use crate::{Bytes, Count, Id, choice, compute::node::Node, patch::Check};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

choice! {
    /// Which of the nodes that have room is taken.
    pub enum PlacementPolicy {
        /// The one that stays emptiest: guests share what there is evenly.
        Spread = "spread",
        /// The one that becomes fullest: other nodes stay free for large guests, or can be switched off.
        BestFit = "best_fit",
    }
}

/// Why an instance is where it is; kept as long as the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// Which of the nodes that had room was to be taken.
    pub policy: PlacementPolicy,
    /// How many nodes were looked at.
    pub considered: Count,
    /// How many of them fell out, by the reason.
    pub refused: BTreeMap<String, i64>,
    /// How the node was ranked, in thousandths: by the part of its scarcest resource that stays free with the instance
    /// (`spread`), or is taken then (`best_fit`), less 1000 for each preference that it does not meet.
    pub score: i64,
    /// The same of the node that came second; absent if there was no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<i64>,
    /// The nodes that it was on before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

/// A node that an instance was on before it came to its present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tried {
    /// The node.
    pub node_id: Id<Node>,
    /// Why it is there no more, in a sentence.
    pub reason: String,
}

/// What a plan does, or would do, where, and what of it is short.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outlook {
    /// How many instances have a place.
    pub placed: i64,
    /// On how many nodes.
    pub nodes: i64,
    /// What the placed ones take of the project's quota, by resource.
    pub quota: BTreeMap<String, i64>,
    /// The part of the site's free processors, memory and disk that they take, whichever is largest, in thousandths.
    pub of_free: i64,
    /// Bytes of images that come to nodes; a preview leaves out those of nodes on which an instance of the image has come up.
    pub image_bytes: Bytes,
    /// Each instance's node, in the order of groups and numbers; only in previews and plans that are held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// What has no place, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub short: Vec<Shortage>,
}

/// An instance's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// The instance's name.
    pub name: String,
    /// The node.
    pub node_id: Id<Node>,
}

/// Instances of a group that have no place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Shortage {
    /// The group.
    pub group: String,
    /// How many.
    pub count: i64,
    /// What keeps them, in a sentence, with the smallest change that would help.
    pub detail: String,
    /// Counts over all nodes.
    pub reasons: Vec<String>,
}

/// How far a plan is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Instances by state: `queued` (they wait for their turn, or for their row where the plan is large), `placed`, `starting`,
    /// `running`, `stopped`, `failed`, `deleting`, `gone`, and `waiting` for the node that they leave to confirm that nothing of
    /// them is left there, or for another node.
    pub counts: BTreeMap<String, i64>,
    /// How many came to run in each of the last seconds, on average.
    pub per_second: f64,
    /// How long the rest will take at that rate, in seconds; absent where nothing moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<i64>,
    /// The nodes with the most instances that do not run yet, worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowest: Vec<NodeLag>,
    /// What went wrong, most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureGroup>,
    /// What instances wait for, such as a node that does not report or does not finish, most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<FailureGroup>,
}

/// A node that others wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeLag {
    /// The node.
    pub node_id: Id<Node>,
    /// How many of the plan's instances on it do not run yet.
    pub waiting: i64,
}

/// Instances that failed, or wait, for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureGroup {
    /// The reason.
    pub reason: String,
    /// How many.
    pub count: i64,
    /// The first of them by name, ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Progress {
    /// How many are in this state.
    pub fn count(&self, state: &str) -> i64 {
        self.counts.get(state).copied().unwrap_or(0)
    }
}

impl Check for Placement {}
impl Check for Outlook {}
impl Check for Progress {}
