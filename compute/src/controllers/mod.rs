//! The operations on flavors, keys, nodes and instances, where they differ from the defaults.

mod console_logs;
mod instance_actions;
mod instances;
mod launch_plans;
mod nodes;
mod small;
mod unclaimed_guests;

pub(crate) use console_logs::ConsoleLogs;
pub(crate) use instance_actions::InstanceActions;
pub(crate) use instances::{Instances, begin_removal, remove_row};
pub(crate) use launch_plans::LaunchPlans;
pub(crate) use nodes::Nodes;
pub(crate) use small::{Flavors, SshKeys};
pub(crate) use unclaimed_guests::UnclaimedGuests;
