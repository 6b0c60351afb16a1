//! What the compute service owns: machines that run guests, and the guests.

pub mod assignment;
pub mod capacity;
pub mod console_log;
pub mod flavor;
pub mod instance;
pub mod instance_action;
pub mod launch_group;
pub mod launch_plan;
pub mod node;
pub mod placement;
pub mod report;
pub mod ssh_key;
pub mod unclaimed_guest;
pub mod why_not;

pub use console_log::ConsoleLog;
pub use flavor::Flavor;
pub use instance::Instance;
pub use instance_action::InstanceAction;
pub use launch_plan::LaunchPlan;
pub use node::Node;
pub use ssh_key::SshKey;
pub use unclaimed_guest::UnclaimedGuest;
