//! The bytes of images, through the public API and with the real `qemu-img`: what is kept, what is refused, and that
//! nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]
#![allow(clippy::similar_names, reason = "a site has images of a size")]

mod confined;
mod full_disk;
mod header;
mod hostile;
mod interrupted;
mod kept;
mod refused;
mod support;
