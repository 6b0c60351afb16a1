//! A volume in an instance.

use crate::{
    Id, Meta, Model, choice,
    compute::{Instance, Node},
    identity::Project,
    storage::volume::Volume,
};

choice! {
    /// How far an attachment is.
    pub enum AttachmentStatus {
        /// The node has been told.
        Attaching = "attaching",
        /// The guest has the disk.
        Attached = "attached",
        /// The node has been told to take it away.
        Detaching = "detaching",
        /// It could not be done; `status_reason` says why.
        Failed = "failed",
    }
}

/// A volume in an instance: a lease with two sides. The volume is free again only when the instance's node has
/// confirmed that the guest no longer has it.
#[derive(Model)]
#[model(service = Storage, path = "attachment", scope = Project, unique(volume_id), accepted)]
#[model(create = Member, read = Viewer, update = Nobody, delete = Member, services(read = Compute))]
pub struct Attachment {
    /// Its id.
    pub id: Id<Attachment>,
    /// The project of both.
    pub project_id: Id<Project>,
    /// The volume.
    #[model(create, filter)]
    pub volume_id: Id<Volume>,
    /// The instance.
    #[model(create, filter)]
    pub instance_id: Id<Instance>,
    /// The instance's node.
    #[model(system, filter, node)]
    pub node_id: Option<Id<Node>>,
    /// How far it is.
    #[model(status, filter, default = AttachmentStatus::Attaching)]
    pub status: AttachmentStatus,
    /// Why it is in this status, in a sentence.
    #[model(status)]
    pub status_reason: Option<String>,
    /// The disk's name in the guest, such as `vdb`.
    #[model(status)]
    pub device: Option<String>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
