//! The images service: machine images and their bytes.

pub mod bytes;
