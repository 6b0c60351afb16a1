//! Sizes of instances.

use crate::{GiB, Id, Meta, MiB, Model, Name, Vcpus};

/// A size that instances come in. Set once: instances keep the numbers that they got from it.
#[derive(Model)]
#[model(service = Compute, path = "flavor", scope = Site, unique(name))]
#[model(create = Operator, read = Anyone, update = Operator, delete = Operator)]
pub struct Flavor {
    /// Its id.
    pub id: Id<Flavor>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// Virtual processors.
    #[model(create)]
    pub vcpus: Vcpus,
    /// Memory.
    #[model(create)]
    pub memory_mib: MiB,
    /// The root disk; an image larger than that does not fit.
    #[model(create)]
    pub disk_gib: GiB,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
