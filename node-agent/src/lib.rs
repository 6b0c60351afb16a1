//! The node agent without its hypervisor: watch, observe, plan, act, report.
//!
//! An agent watches what the control plane asks of its node ([`watch`]), observes what there is ([`hypervisor`]),
//! decides what to do next ([`plan`], which does nothing itself), does it ([`act`]) and reports what it saw
//! ([`report`]). It keeps no database: what must outlive it is written on the guests ([`guest::Mark`]), and what it
//! reports follows from orders and observations alone ([`seen`]). So an agent that was killed at any moment goes on
//! where it was.
//!
//! [`agent::Agent`] turns the wheel; [`simulated::Simulated`] is a machine without guests for tests and demonstrations.

pub mod act;
pub mod agent;
pub mod begun;
pub mod by_id;
pub mod config_disk;
pub mod console;
pub mod consoles;
pub mod control_plane;
pub mod desired;
pub mod desk;
pub mod disks;
pub mod failure;
pub mod files;
pub mod guest;
pub mod heartbeats;
pub mod http;
pub mod hypervisor;
pub mod image_cache;
pub mod join;
pub mod machine;
pub mod memory;
mod pairs;
pub mod plan;
pub mod power;
pub mod pulse;
pub mod report;
pub mod room;
pub mod seen;
pub mod simulated;
pub mod stopwatch;
pub mod story;
pub mod watch;
pub mod watchdog;
