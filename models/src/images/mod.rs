//! What the image service owns.

pub mod machine_image;

pub use machine_image::MachineImage;
