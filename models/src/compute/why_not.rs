//! Why an instance is not on a node.

use crate::{
    Id,
    compute::{
        instance::Instance,
        node::Node,
        placement::{Placement, PlacementPolicy},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /compute/v1/whynot/{instance}?node_id={node}`, for operators: how the node stands for the instance now,
/// by the scheduler's own rules and as if the instance had no place yet, and what was recorded when it got its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyNot {
    /// The instance.
    pub instance_id: Id<Instance>,
    /// The node that is asked about.
    pub node_id: Id<Node>,
    /// Where room is taken for the instance; absent if nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_on: Option<Id<Node>>,
    /// Why it could not go to the node now, as in "it has too few free vCPUs"; absent if it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// How the node would be ranked for it now (see [`Placement::score`]); absent if it can't go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
    /// The same of the node where it is; absent if that could not be chosen now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_score: Option<i64>,
    /// Which of the nodes with room is taken.
    pub policy: PlacementPolicy,
    /// What the instance takes.
    pub need: Amounts,
    /// What is free on the node; less than nothing where its capacity was lowered below what is taken.
    pub free: Amounts,
    /// What was recorded when the instance got its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// Room on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Amounts {
    /// Virtual processors.
    pub vcpus: i64,
    /// Memory.
    pub memory_mib: i64,
    /// Disk.
    pub disk_gib: i64,
}

impl std::fmt::Display for Amounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} vCPUs, {} MiB and {} GiB of disk", self.vcpus, self.memory_mib, self.disk_gib)
    }
}
