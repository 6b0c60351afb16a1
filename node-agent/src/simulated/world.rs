//! The books of a simulated machine.

use crate::{
    failure::{Failure, Result},
    guest::Guest,
};
use cirro_models::{Id, compute::Instance, storage::Volume};
use std::collections::{BTreeMap, BTreeSet};

/// How often each thing was done to guests and volumes, so that tests can prove that nothing was done twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is named for what it counts")]
pub struct Counts {
    pub built: usize,
    pub resized: usize,
    pub rebuilt: usize,
    pub started: usize,
    pub shut_down: usize,
    pub killed: usize,
    pub removed: usize,
    pub volumes_made: usize,
    pub volumes_removed: usize,
    pub attached: usize,
    pub detached: usize,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) guests: BTreeMap<Id<Instance>, Guest>,
    pub(super) volumes: BTreeSet<Id<Volume>>,
    pub(super) counts: Counts,
    pub(super) addresses: u32,
}

impl World {
    pub(super) fn guest(&mut self, id: Id<Instance>) -> Result<&mut Guest> {
        self.guests.get_mut(&id).ok_or_else(|| Failure::new(format!("there is no guest of instance {id} on this node")))
    }
}
