//! The node agent on libvirt: the only crate that links libvirt's library.

pub mod accelerator;
pub mod access;
pub mod config;
pub mod connection;
pub mod domain;
mod domains;
pub mod events;
pub mod filter;
pub mod hypervisor;
pub mod mark;
pub mod network;
pub mod supervise;
pub mod test_driver;
pub mod watchdog;
pub mod xml;
