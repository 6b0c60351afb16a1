//! Tenants.

use crate::{Count, GiB, Id, Meta, MiB, Model, Name, Vcpus};

/// A tenant: owns instances, volumes, images and networks, and is limited in how many.
#[derive(Model)]
#[model(service = Identity, path = "project", scope = Project(id), unique(name))]
#[model(create = Operator, read = Viewer, update = Operator, delete = Operator)]
pub struct Project {
    /// Its id.
    pub id: Id<Project>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// What it is for.
    #[model(create, update)]
    pub description: Option<String>,
    /// At most this many instances.
    #[model(create, update, default = Count::new(2000))]
    pub max_instances: Count,
    /// At most this many virtual processors in all instances.
    #[model(create, update, default = Vcpus::new(4000))]
    pub max_vcpus: Vcpus,
    /// At most this much memory in all instances.
    #[model(create, update, default = MiB::new(4_000_000))]
    pub max_memory_mib: MiB,
    /// At most this many volumes.
    #[model(create, update, default = Count::new(1000))]
    pub max_volumes: Count,
    /// At most this much in all volumes.
    #[model(create, update, default = GiB::new(10_000))]
    pub max_volume_gib: GiB,
    /// At most this much in all images.
    #[model(create, update, default = GiB::new(500))]
    pub max_image_gib: GiB,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
