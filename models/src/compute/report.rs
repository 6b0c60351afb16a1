//! What a node tells compute.

use crate::{
    Generation, Id,
    compute::{
        console_log::ConsoleLog,
        instance::{Instance, InstanceStatus},
        instance_action::InstanceAction,
        node::Accelerator,
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Body of `POST /compute/v1/nodereport/{node}`: what the node saw and did, in batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeReport {
    /// Made anew when the agent starts.
    pub boot_id: Uuid,
    /// Grows with every report of this boot; an older report than the last one is ignored.
    pub sequence: u64,
    /// The machine as a whole.
    pub node: NodeSeen,
    /// The guests that changed, or all of them in the first report of a boot.
    pub instances: Vec<InstanceSeen>,
    /// Instances whose tombstone is carried out: nothing of them is left here.
    pub gone: Vec<GoneInstance>,
    /// Guests with our mark that the manifest does not list; they are left alone.
    pub unclaimed: Vec<UnclaimedSeen>,
    /// Actions that ended.
    pub actions: Vec<ActionDone>,
    /// Console texts that were read.
    pub console_logs: Vec<ConsoleRead>,
    /// All that is held here; absent while it is as it was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdings: Option<Holdings>,
    /// What has been under way for longest; absent where nothing takes long, and from older agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way: Option<UnderWay>,
}

impl NodeReport {
    /// Whether it tells of nothing that was done: the node is as it was.
    pub fn is_heartbeat(&self) -> bool {
        self.instances.is_empty()
            && self.gone.is_empty()
            && self.actions.is_empty()
            && self.console_logs.is_empty()
            && self.holdings.is_none()
    }
}

/// All that a node holds of ours, for the audit: who should hold what is compared with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holdings {
    /// The instances whose guests are here.
    pub guests: Vec<Id<Instance>>,
    /// The instances of which there are files here, and no guest: those of guests that are half made or half removed,
    /// and what crashes have left.
    pub files: Vec<Id<Instance>>,
}

impl Holdings {
    /// The most ids of each that are told: a node with more tells none.
    pub const MOST: usize = 5000;
}

/// What a node has begun and not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnderWay {
    /// What it is, such as `building instance …`.
    pub what: String,
    /// For how many seconds, by the agent's monotonic clock. While it waits for an image's bytes no time passes.
    pub for_s: u64,
}

/// The machine as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeSeen {
    /// What executes guests.
    pub accelerator: Accelerator,
    /// What is wrong, in a sentence.
    pub message: Option<String>,
    /// The agent's version.
    pub agent_version: String,
    /// After how many seconds without a lease its watchdog has stopped all guests; absent where none is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog_s: Option<i64>,
}

/// A guest as its node saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceSeen {
    /// The instance.
    pub id: Id<Instance>,
    /// The generation of desire that the node has acted on.
    pub observed_generation: Generation,
    /// What it is doing: building, starting, running, stopping, stopped, rebooting or failed.
    pub status: InstanceStatus,
    /// Why, if there is more to say.
    pub reason: Option<String>,
    /// The address that the guest has got.
    pub address: Option<String>,
    /// The guest switched itself off: the wish becomes `stopped`.
    pub powered_off_itself: bool,
}

/// A tombstone that is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GoneInstance {
    /// The instance.
    pub id: Id<Instance>,
    /// The tombstone's generation.
    pub generation: Generation,
}

/// A guest with our mark that nobody claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnclaimedSeen {
    /// The instance id in its mark.
    pub id: Id<Instance>,
    /// The generation in its mark.
    pub generation: Generation,
    /// The name in its mark.
    pub name: String,
    /// The project in its mark.
    pub project_id: Option<Uuid>,
    /// Virtual processors.
    pub vcpus: crate::Vcpus,
    /// Memory.
    pub memory_mib: crate::MiB,
    /// Root disk.
    pub disk_gib: crate::GiB,
    /// The image in its mark.
    pub image_id: Option<Uuid>,
    /// Whether it runs.
    pub running: bool,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionDone {
    /// The action.
    pub id: Id<InstanceAction>,
    /// Why it failed; absent when it was done.
    pub error: Option<String>,
}

/// A console text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsoleRead {
    /// The request.
    pub id: Id<ConsoleLog>,
    /// At most the last 256 KiB, control characters escaped.
    pub text: Option<String>,
    /// Why it could not be read.
    pub error: Option<String>,
}
