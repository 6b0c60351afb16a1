//! Virtual machines.

use crate::{
    Error, Generation, GiB, Id, Meta, MiB, Model, Name, Result, Vcpus, choice,
    compute::{flavor::Flavor, launch_plan::LaunchPlan, node::Node, placement::Placement, ssh_key::SshKey},
    identity::Project,
    images::MachineImage,
    patch::Check,
};
use serde::{Deserialize, Serialize};
use std::fmt;

choice! {
    /// Whether an instance should run.
    pub enum Power {
        /// It should run.
        Running = "running",
        /// It should be off.
        Stopped = "stopped",
    }
}

choice! {
    /// What an instance is doing. The transitions between these are written down in the compute service.
    pub enum InstanceStatus {
        /// Accepted; its node has not begun.
        Pending = "pending",
        /// Its node prepares image, disks and domain.
        Building = "building",
        /// Its domain is being started.
        Starting = "starting",
        /// It runs.
        Running = "running",
        /// It is being shut down.
        Stopping = "stopping",
        /// It is off.
        Stopped = "stopped",
        /// It is stopped and started again.
        Rebooting = "rebooting",
        /// It and its disks are being removed.
        Deleting = "deleting",
        /// It could not be brought where it should be; `status_reason` says why.
        Failed = "failed",
        /// Its node holds it, but the control plane had forgotten it: adopt or delete it.
        Unclaimed = "unclaimed",
    }
}

choice! {
    /// What becomes of an instance when its node is lost for good.
    pub enum NodeLoss {
        /// It waits for its node, with its disk.
        Stay = "stay",
        /// It is made anew on another node, from its image: what its disk held is lost.
        Recreate = "recreate",
    }
}

/// A virtual machine: what its owner asks for, and what its node last saw.
#[derive(Model)]
#[model(service = Compute, path = "instance", scope = Project, unique(project_id, name), accepted)]
#[model(create = Member, read = Viewer, update = Member, delete = Member, services(read = Storage, read = Images))]
#[model(input(user_data: Option<UserData>, create), input(rebuild: Option<bool>, update))]
pub struct Instance {
    /// Its id.
    pub id: Id<Instance>,
    /// The project that it belongs to.
    #[model(filter)]
    pub project_id: Id<Project>,
    /// What people call it; also its host name.
    #[model(create, update, filter)]
    pub name: Name,
    /// Its size. A stopped one can get another, on its node.
    #[model(create, update, desired)]
    pub flavor_id: Id<Flavor>,
    /// The image that its root disk is made from. Another one takes `rebuild`, too: what is on the disk is lost.
    #[model(create, update, filter)]
    pub image_id: Id<MachineImage>,
    /// The keys that its first boot authorises.
    #[model(create, json)]
    pub ssh_key_ids: Option<Vec<Id<SshKey>>>,
    /// The owner's wish; the node works towards it.
    #[model(create, update, desired, default = Power::Running)]
    pub power: Power,
    /// How its power goes off: `true` pulls the plug instead of asking the guest.
    #[model(update)]
    pub force_stop: Option<bool>,
    /// While true it can't be deleted or rebuilt, by whatever way.
    #[model(create, update, default = false)]
    pub protected: bool,
    /// What becomes of it when its node is lost: only after the node's machine was seen to be off, and never while a volume is
    /// attached to it.
    #[model(create, update, default = NodeLoss::Stay)]
    pub on_node_loss: NodeLoss,
    /// Counts changes of the owner's wish.
    #[model(generation)]
    pub generation: Generation,
    /// The generation in which its root disk was to be made anew; 0 for one that has its first.
    #[model(system, default = Generation::new(0))]
    pub root_generation: Generation,
    /// The generation that its node has last acted on.
    #[model(status)]
    pub observed_generation: Generation,
    /// What it is doing.
    #[model(status, filter, default = InstanceStatus::Pending)]
    pub status: InstanceStatus,
    /// Why it is in this status, in a sentence, if there is more to say.
    #[model(status)]
    pub status_reason: Option<String>,
    /// When a status that should pass ends in a stable one.
    #[model(system)]
    pub status_deadline: Option<crate::Timestamp>,
    /// The address that the guest has got.
    #[model(status)]
    pub address: Option<String>,
    /// The node that it is placed on.
    #[model(system, filter, node)]
    pub node_id: Option<Id<Node>>,
    /// The node that it leaves for another one; until that one has confirmed that nothing of it is there, it is nowhere else.
    #[model(system)]
    pub leaving_node_id: Option<Id<Node>>,
    /// When it was first seen to have come up where it is: from then on its disk may hold something.
    #[model(system)]
    pub ran_at: Option<crate::Timestamp>,
    /// The launch plan that made it.
    #[model(system, filter)]
    pub plan_id: Option<Id<LaunchPlan>>,
    /// Whether somebody has changed it since it was made: undoing its plan leaves it alone.
    #[model(system)]
    pub touched: Option<bool>,
    /// Why it is on that node.
    #[model(system, json)]
    pub placement: Option<Placement>,
    /// Virtual processors, from its flavor.
    #[model(system)]
    pub vcpus: Vcpus,
    /// Memory, from its flavor.
    #[model(system)]
    pub memory_mib: MiB,
    /// Root disk, from its flavor.
    #[model(system)]
    pub disk_gib: GiB,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}

impl Instance {
    /// Refuses what can't be done to an instance that is going away.
    pub fn require_live(&self) -> Result<()> {
        match self.meta.deleted_at {
            None => Ok(()),
            Some(_) => Err(Error::conflict(format!("instance {} ({}) is being deleted", self.name, self.id))),
        }
    }
    /// Refuses what would end a protected instance or what is on its disk.
    pub fn require_unprotected(&self) -> Result<()> {
        if !self.protected {
            return Ok(());
        }
        let (name, id) = (&self.name, self.id);
        Err(Error::conflict(format!(
            "instance {name} ({id}) is protected: lift that first if this is meant (`cirro instance update {name} --no-protect`)"
        )))
    }
}

/// What the guest's first boot runs or reads (cloud-init's user-data). It may hold secrets: it is handed to the
/// instance's node, and to nobody else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserData(String);

impl UserData {
    /// The most bytes of user-data.
    pub const MAX: usize = 64 * 1024;

    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text, for the config disk only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserData({} bytes)", self.0.len())
    }
}
impl Check for UserData {
    fn check(&self) -> std::result::Result<(), String> {
        if self.0.len() > Self::MAX {
            return Err(format!("the user-data has {} bytes: use at most {}", self.0.len(), Self::MAX));
        }
        Ok(())
    }
}
impl utoipa::PartialSchema for UserData {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .max_length(Some(Self::MAX))
            .write_only(true)
            .into()
    }
}
impl utoipa::ToSchema for UserData {}
