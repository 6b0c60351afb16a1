//! Machines that run guests.

use crate::{Count, GiB, Id, Meta, MiB, Model, Name, Timestamp, Vcpus, choice, patch::Check};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

choice! {
    /// Whether a node can be used, as the control plane sees it.
    pub enum NodeStatus {
        /// It has not reported yet.
        Joining = "joining",
        /// It reports.
        Ready = "ready",
        /// It reports, and something that it has begun does not end: nothing new comes there.
        Stuck = "stuck",
        /// It has not reported for a while; its guests run on.
        Silent = "silent",
        /// It was silent or stuck for too long, and its machine is being switched off, or its watchdog stops its guests. It is told
        /// nothing and not listened to meanwhile.
        Fencing = "fencing",
        /// Its machine was seen to be off after that, or its watchdog has stopped all guests; what could be was taken over. It is
        /// ready again when it reports.
        Fenced = "fenced",
    }
}

choice! {
    /// What its operator wants of a node.
    pub enum NodeMode {
        /// It takes new guests.
        Active = "active",
        /// Nothing new is placed here; what is here stays.
        Drain = "drain",
        /// The same, and nobody minds if it falls silent: somebody works on it.
        Maintenance = "maintenance",
        /// It will never be back: what it held has failed or is recreated elsewhere, and the node is forgotten. Its machine must
        /// have been seen to be off, or be named as `destroyed`.
        Gone = "gone",
    }
}

choice! {
    /// What guests are executed by.
    pub enum Accelerator {
        /// The processor's own virtualisation.
        Kvm = "kvm",
        /// Emulation by QEMU: works everywhere, ten times slower.
        Tcg = "tcg",
        /// Nothing: the simulated hypervisor.
        Simulated = "simulated",
    }
}

/// A machine that runs guests, with its capacity. Its agent may report less than what was approved, never more.
#[derive(Model)]
#[model(service = Compute, path = "node", scope = Site, unique(name))]
#[model(create = Operator, read = Operator, update = Operator, delete = Operator)]
#[model(services(create = Identity, read = Identity, read = Storage))]
#[model(input(destroyed: Option<Name>, update))]
pub struct Node {
    /// Its id; the agent's credential names it.
    #[model(node)]
    pub id: Id<Node>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// Approved virtual processors for guests, overcommit included.
    #[model(create, update)]
    pub vcpus: Vcpus,
    /// Approved memory for guests.
    #[model(create, update)]
    pub memory_mib: MiB,
    /// Approved disk for guests.
    #[model(create, update)]
    pub disk_gib: GiB,
    /// What its operator wants of it.
    #[model(create, update, filter, default = NodeMode::Active)]
    pub mode: NodeMode,
    /// Whether it reports.
    #[model(system, filter, default = NodeStatus::Joining)]
    pub status: NodeStatus,
    /// What executes guests, found out by trying.
    #[model(status)]
    pub accelerator: Option<Accelerator>,
    /// What is wrong with it, in a sentence, such as a network that can't be started.
    #[model(status)]
    pub message: Option<String>,
    /// The agent's version.
    #[model(status)]
    pub agent_version: Option<String>,
    /// The guests on it that no row of ours knows, which the agent leaves alone.
    #[model(status)]
    pub unclaimed: Count,
    /// The launches that have failed here since the last one that did not; absent where that was the last.
    #[model(system, json)]
    pub failing: Option<Failing>,
    /// What it has not finished for too long; absent where everything ends.
    #[model(system, json)]
    pub stuck: Option<Stuck>,
    /// After how many seconds without compute's word its watchdog has stopped everything there; absent where it has none. Compute
    /// gives no word for longer than this.
    #[model(status)]
    pub watchdog_s: Option<i64>,
    /// When it last became ready, stuck or silent.
    #[model(status)]
    pub status_since: Option<Timestamp>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}

/// A node on which one launch after the other fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failing {
    /// How many have failed in a row.
    pub in_a_row: i64,
    /// For how long nothing new comes here, in seconds; it doubles each time. Absent as long as it was only bad luck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_s: Option<i64>,
    /// Until when nothing new comes here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Check for Failing {}

/// What a node has not finished for too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stuck {
    /// What it is, as its agent says, such as `building instance …`.
    pub what: String,
    /// For how long it had been under way when that was noticed, in seconds.
    pub for_s: i64,
}

impl Check for Stuck {}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {} s", self.what, self.for_s)
    }
}
