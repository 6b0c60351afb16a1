//! The operations on flavors, keys, nodes and instances, where they differ from the defaults.

mod console_logs;
mod instance_actions;
mod instances;
mod nodes;
mod small;
mod unclaimed_guests;

pub(crate) use console_logs::ConsoleLogs;
pub(crate) use instance_actions::InstanceActions;
pub(crate) use instances::Instances;
pub(crate) use nodes::Nodes;
pub(crate) use small::{Flavors, SshKeys};
pub(crate) use unclaimed_guests::UnclaimedGuests;

/// Held by every transaction that places instances, so that two can't take the last room of a node.
pub(crate) const PLACEMENT: i64 = 0x0c1_5eed;
