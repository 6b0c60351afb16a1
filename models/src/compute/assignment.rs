//! What compute tells a node: the complete list of what it should hold, and the bodies that are new to it.

use crate::{
    Error, Generation, GiB, Id, MiB, Name, Vcpus,
    compute::{
        console_log::ConsoleLog,
        instance::{Instance, Power, UserData},
        instance_action::{ActionKind, InstanceAction},
    },
    identity::Project,
    images::{MachineImage, machine_image::ImageFormat},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Answer of `GET /compute/v1/nodeassignment/{node}?since={revision}&wait_ms={n}` (a long poll): the manifest is always
/// complete; bodies are those that the node has not followed yet, all of them when it names no revision of this epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeAssignment {
    /// Changes when the control plane's database was put back to an earlier state. An agent must not act on a tombstone
    /// of another epoch than the manifest's.
    pub epoch: String,
    /// Opaque; hand it back as `since`.
    pub revision: String,
    /// Every instance that the node should hold, with the generation of its desire.
    pub manifest: Vec<AssignedInstance>,
    /// What changed among them.
    pub instances: Vec<InstanceSpec>,
    /// The only thing that destroys a domain or a disk; repeated until the node confirms.
    pub tombstones: Vec<Tombstone>,
    /// Actions not yet done, oldest first.
    pub actions: Vec<AssignedAction>,
    /// Console texts that are asked for.
    pub console_logs: Vec<AssignedConsoleLog>,
    /// Under which request each instance, action or console text was asked for that is not done yet, by its id: what the
    /// agent does for it is told under the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub requests: BTreeMap<Uuid, String>,
}

/// An entry of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignedInstance {
    /// The instance.
    pub id: Id<Instance>,
    /// The generation of its desire.
    pub generation: Generation,
}

/// Everything a node needs to know to run an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceSpec {
    /// The instance.
    pub id: Id<Instance>,
    /// Its project; guests of one project may later share a network.
    pub project_id: Id<Project>,
    /// Its name: the host name.
    pub name: Name,
    /// The generation of this desire.
    pub generation: Generation,
    /// Whether it should run.
    pub power: Power,
    /// Whether stopping pulls the plug.
    pub force_stop: bool,
    /// Virtual processors.
    pub vcpus: Vcpus,
    /// Memory.
    pub memory_mib: MiB,
    /// Root disk.
    pub disk_gib: GiB,
    /// The image that the root disk overlays.
    pub image: ImageSpec,
    /// A guest whose root disk was made for an older generation than this gets a new one from the image, once.
    #[serde(default)]
    pub root_generation: Generation,
    /// Lines for `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// For the config disk; never logged.
    pub user_data: Option<UserData>,
}

/// An image as a node caches it: named by its digest, so that it comes to a node once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageSpec {
    /// The image; its bytes are at `/images/v1/machineimage/{id}/bytes`.
    pub id: Id<MachineImage>,
    /// Lower-case hex.
    pub sha256: String,
    /// The verified format.
    pub format: ImageFormat,
    /// Bytes of the file.
    pub size_bytes: crate::Bytes,
}

/// The order to remove an instance with its local disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tombstone {
    /// The instance.
    pub id: Id<Instance>,
    /// The generation of the desire to be gone; a guest with a higher one is left alone.
    pub generation: Generation,
    /// The epoch in which this was ordered.
    pub epoch: String,
}

/// An action that the node has yet to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignedAction {
    /// The action.
    pub id: Id<InstanceAction>,
    /// The instance.
    pub instance_id: Id<Instance>,
    /// What to do.
    pub kind: ActionKind,
}

/// A console text that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignedConsoleLog {
    /// The request.
    pub id: Id<ConsoleLog>,
    /// The instance.
    pub instance_id: Id<Instance>,
}

impl NodeAssignment {
    /// Refuses an answer that contradicts itself: a changed body which the manifest does not list.
    pub fn check(&self) -> Result<(), Error> {
        match self.instances.iter().find(|spec| !self.manifest.iter().any(|entry| entry.id == spec.id)) {
            None => Ok(()),
            Some(spec) => Err(Error::internal(format!("the assignment holds a body of {} without an entry", spec.id))),
        }
    }
}
