//! Simulated nodes: the real agent over machines without guests. They live in the process of a site (`cirro up --simulate`),
//! or in a process of their own that joins a site as machines do (`cirro site simulate`). Only how a node is made and how
//! it reaches its control plane differs.

pub mod apart;
mod boot;
mod failing;
mod fence;
mod lives;
pub mod power;
mod simulation;
mod threads;
mod watchdog;

pub use boot::Boot;
pub use failing::Failing;
pub(crate) use fence::Machines;
pub(crate) use lives::{Lives, settings};
pub use simulation::Simulation;

/// The image that can be launched at once: nothing ever boots from it.
pub(crate) const IMAGE: (&str, &[u8]) = ("demo", b"a disk for simulated guests\n");
