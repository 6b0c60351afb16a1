//! An instance of which nothing is prepared.

use cirro_models::{
    Bytes, Generation, GiB, Id, MiB, Vcpus,
    compute::{
        assignment::{ImageSpec, InstanceSpec},
        instance::Power,
    },
    images::machine_image::ImageFormat,
};

pub(crate) fn spec(n: usize) -> InstanceSpec {
    InstanceSpec {
        id: Id::new(),
        project_id: Id::new(),
        name: format!("guest-{n}").parse().unwrap(),
        generation: Generation::new(1),
        power: Power::Running,
        force_stop: false,
        vcpus: Vcpus::new(1),
        memory_mib: MiB::new(64),
        disk_gib: GiB::new(1),
        image: ImageSpec { id: Id::new(), sha256: String::new(), format: ImageFormat::Raw, size_bytes: Bytes::new(1) },
        root_generation: Generation::new(0),
        ssh_keys: Vec::new(),
        user_data: None,
    }
}
