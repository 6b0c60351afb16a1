//! From a request for instances to rows with a place: what it names is fetched first, then everything that it takes is
//! taken in one transaction.

mod begin;
pub(crate) mod elsewhere;
mod expand;
mod fetched;
mod names;
mod plan;
mod progress;
mod quota;
pub(crate) mod references;
mod rest;
mod rows;
mod secret;
mod tend;
mod undo;
pub(crate) mod volumes;

pub use expand::Expansion;
pub(crate) use expand::expand;
pub(crate) use names::require_not_to_come;
pub(crate) use plan::{hold_ends, take};
pub(crate) use quota::{CHARGES, resize as resize_in_quota, room as room_in_quota};
pub(crate) use references::Referenced;
pub(crate) use rows::{accept_one, group_of, instance_id, instance_index};
pub(crate) use secret::{add_user_data, forget_user_data, keep_user_data};
pub(crate) use tend::{Rates, give_back, tend};
pub(crate) use undo::UndoPlan;

/// Held by every transaction that places instances, so that two can't take the last room of a node.
pub(crate) const PLACEMENT: i64 = 0x0c1_5eed;

/// How long the room of a plan is kept, in seconds.
pub(crate) const HELD_S: i64 = 600;
