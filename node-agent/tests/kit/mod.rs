//! What the agent's tests have in common.
#![allow(dead_code, clippy::unwrap_used, reason = "a kit for tests; each uses a part of it")]

use cirro_models::{
    Bytes, Generation, GiB, Id, MiB, Name, Vcpus,
    compute::{
        Instance,
        assignment::{ImageSpec, InstanceSpec},
        instance::Power,
    },
    images::machine_image::ImageFormat,
};
use uuid::Uuid;

/// The `n`th id: tests name things by small numbers.
pub fn id<M>(n: u128) -> Id<M> {
    Id::from_uuid(Uuid::from_u128(n))
}

pub fn spec(id: Id<Instance>, generation: i64, power: Power) -> InstanceSpec {
    InstanceSpec {
        id,
        project_id: self::id(1),
        name: Name::parse("web1").unwrap(),
        generation: Generation::new(generation),
        power,
        force_stop: false,
        vcpus: Vcpus::new(1),
        memory_mib: MiB::new(128),
        disk_gib: GiB::new(1),
        image: ImageSpec {
            id: self::id(2),
            sha256: "0".repeat(64),
            format: ImageFormat::Qcow2,
            size_bytes: Bytes::new(1),
        },
        root_generation: Generation::new(0),
        ssh_keys: Vec::new(),
        user_data: None,
    }
}
