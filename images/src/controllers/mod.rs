//! The operations on the service's models, where they differ from the defaults.

mod machine_image;

pub(crate) use machine_image::MachineImages;
