//! How much more fits.

use crate::{Count, Id, choice, compute::flavor::Flavor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

choice! {
    /// What ends first.
    pub enum Bound {
        /// The nodes' free room.
        Nodes = "nodes",
        /// The project's quota.
        Quota = "quota",
    }
}

/// Answer of `GET /compute/v1/capacity/{flavor}`: how many more instances of a flavor the caller's project can have now,
/// by the scheduler's own rules, if no relationship stands between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Capacity {
    /// The flavor.
    pub flavor_id: Id<Flavor>,
    /// How many more.
    pub more: Count,
    /// What would keep the next one from being placed.
    pub bound: Bound,
    /// How many the nodes have room for, whatever the quota; told to operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_nodes: Option<Count>,
    /// On how many nodes; told to operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Count>,
}
