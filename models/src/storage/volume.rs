//! Disks that outlive instances.

use crate::{GiB, Id, Meta, Model, Name, choice, compute::Node, identity::Project, storage::storage_pool::StoragePool};

choice! {
    /// Whether a volume can be used.
    pub enum VolumeStatus {
        /// Its file is being made.
        Creating = "creating",
        /// It can be attached.
        Available = "available",
        /// It belongs to an instance; see its attachment.
        Attached = "attached",
        /// Its file is being removed.
        Deleting = "deleting",
        /// Its file could not be made; `status_reason` says why.
        Failed = "failed",
    }
}

/// A disk that outlives instances.
#[derive(Model)]
#[model(service = Storage, path = "volume", scope = Project, unique(project_id, name), accepted)]
#[model(create = Member, read = Viewer, update = Member, delete = Member)]
pub struct Volume {
    /// Its id.
    pub id: Id<Volume>,
    /// The project that it belongs to.
    #[model(filter)]
    pub project_id: Id<Project>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// Its size.
    #[model(create)]
    pub size_gib: GiB,
    /// While true it can't be deleted.
    #[model(create, update, default = false)]
    pub protected: bool,
    /// Where it lies.
    #[model(system, filter)]
    pub pool_id: Option<Id<StoragePool>>,
    /// The node whose directory holds it.
    #[model(system, filter, node)]
    pub node_id: Option<Id<Node>>,
    /// Whether it can be used.
    #[model(status, filter, default = VolumeStatus::Creating)]
    pub status: VolumeStatus,
    /// Why it is in this status, in a sentence.
    #[model(status)]
    pub status_reason: Option<String>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
