//! Guests that carry our mark but that no row of ours knows.

use crate::{
    Generation, GiB, Id, Meta, MiB, Model, Name, Vcpus,
    compute::{Instance, Node},
    identity::Project,
    images::MachineImage,
};

/// A guest that carries our mark but that no instance stands for, as after a database was put back to an earlier state.
/// Its node leaves it alone. Updating `adopt` to true makes it an instance again; deleting it destroys the guest.
#[derive(Model)]
#[model(service = Compute, path = "unclaimedguest", scope = Site, unique(instance_id))]
#[model(create = Nobody, read = Operator, update = Operator, delete = Operator)]
pub struct UnclaimedGuest {
    /// Its id.
    pub id: Id<UnclaimedGuest>,
    /// The node that holds it.
    #[model(create, filter)]
    pub node_id: Id<Node>,
    /// The instance that it was.
    #[model(create, filter)]
    pub instance_id: Id<Instance>,
    /// The generation in its mark.
    #[model(create)]
    pub generation: Generation,
    /// The name in its mark.
    #[model(create, filter)]
    pub name: Name,
    /// The project in its mark.
    #[model(create)]
    pub project_id: Id<Project>,
    /// The image in its mark.
    #[model(create)]
    pub image_id: Id<MachineImage>,
    /// Virtual processors.
    #[model(create)]
    pub vcpus: Vcpus,
    /// Memory.
    #[model(create)]
    pub memory_mib: MiB,
    /// Root disk.
    #[model(create)]
    pub disk_gib: GiB,
    /// Whether it runs.
    #[model(create)]
    pub running: bool,
    /// Set it to make the guest an instance again.
    #[model(update, default = false)]
    pub adopt: bool,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
