//! A machine without guests: it keeps books as libvirt does, takes as long as it is told to, fails as it is told to, and
//! is full when its capacity is used up. With a ledger it outlasts its process, as a machine outlasts its agent. Tests, demonstrations and rehearsals run a thousand of them in one process.
//!
//! Only what stands below the [`crate::hypervisor::Hypervisor`] trait is simulated; the agent above is the real one.

mod event;
mod fault;
mod ledger;
mod machine;
mod replay;
mod world;

pub use fault::{Due, Fault};
pub use ledger::{Book, Ledger};
pub use machine::{Knobs, Simulated};
pub use world::Counts;
