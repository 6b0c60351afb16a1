//! Things done once to an instance.

use crate::{
    Id, Meta, Model, choice,
    compute::{instance::Instance, node::Node},
    identity::Project,
};

choice! {
    /// What is done.
    pub enum ActionKind {
        /// The guest is shut down and started again.
        Reboot = "reboot",
        /// The power is cut and comes back.
        Reset = "reset",
    }
}

choice! {
    /// How far an action is.
    pub enum ActionStatus {
        /// The node has not begun.
        Pending = "pending",
        /// It is done.
        Done = "done",
        /// It could not be done; `reason` says why.
        Failed = "failed",
    }
}

/// Something done once to an instance. Creating it asks for it; its status says whether it was done.
#[derive(Model)]
#[model(service = Compute, path = "instanceaction", scope = Project, accepted)]
#[model(create = Member, read = Viewer, update = Nobody, delete = Member)]
pub struct InstanceAction {
    /// Its id.
    pub id: Id<InstanceAction>,
    /// The instance's project.
    pub project_id: Id<Project>,
    /// The instance.
    #[model(create, filter)]
    pub instance_id: Id<Instance>,
    /// What is done.
    #[model(create)]
    pub kind: ActionKind,
    /// How far it is.
    #[model(status, filter, default = ActionStatus::Pending)]
    pub status: ActionStatus,
    /// Why it failed, in a sentence.
    #[model(status)]
    pub reason: Option<String>,
    /// The node that does it.
    #[model(system, node, filter)]
    pub node_id: Option<Id<Node>>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
