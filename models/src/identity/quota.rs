//! What a project may have of each resource, and how much of it is taken. Limits are the project's; what is taken is known
//! to the service whose rows take it, and to no other.

use crate::{Id, choice, identity::project::Project};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

choice! {
    /// What a project is limited in.
    pub enum Resource {
        /// Instances.
        Instances = "instances",
        /// Virtual processors of all instances.
        Vcpus = "vcpus",
        /// Memory of all instances, in MiB.
        MemoryMib = "memory_mib",
        /// Volumes.
        Volumes = "volumes",
        /// Size of all volumes, in GiB.
        VolumeGib = "volume_gib",
        /// Bytes of all images.
        ImageBytes = "image_bytes",
    }
}

/// How a project stands with one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// The resource, whose name ends with its unit.
    pub resource: Resource,
    /// At most this much.
    pub limit: i64,
    /// This much is taken by what exists. It is more than the limit where that was lowered since.
    pub used: i64,
    /// This much is set aside: for plans that are held, and for uploads under way.
    pub reserved: i64,
}

impl Share {
    /// How much more can be taken.
    pub fn free(&self) -> i64 {
        self.limit.saturating_sub(self.used).saturating_sub(self.reserved).max(0)
    }
}

/// Answer of `GET /<service>/v1/quota/{project}`: how a project stands with what this service's models take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    /// The project.
    pub project_id: Id<Project>,
    /// Each resource of the service.
    pub items: Vec<Share>,
}

impl Project {
    /// How much of a resource it may have; nothing of one that this release does not know.
    pub fn limit(&self, resource: &Resource) -> i64 {
        match resource {
            Resource::Instances => self.max_instances.get(),
            Resource::Vcpus => self.max_vcpus.get(),
            Resource::MemoryMib => self.max_memory_mib.get(),
            Resource::Volumes => self.max_volumes.get(),
            Resource::VolumeGib => self.max_volume_gib.get(),
            Resource::ImageBytes => i64::try_from(self.max_image_gib.bytes()).unwrap_or(i64::MAX),
            Resource::Unknown(_) => 0,
        }
    }
}
