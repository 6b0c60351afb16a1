//! What the control plane asks of this node, put together from its answers.

use cirro_models::{
    Generation, Id,
    compute::{
        Instance,
        assignment::{AssignedAction, AssignedConsoleLog, InstanceSpec, NodeAssignment, Tombstone},
    },
    storage::assignment::StorageAssignment,
};
use std::{collections::BTreeMap, sync::Arc};

/// What compute asks for: the complete list, and every body that has come since the epoch began.
#[derive(Debug, Clone, PartialEq)]
pub struct Instances {
    /// The control plane's epoch.
    pub epoch: String,
    /// What to hand back with the next question.
    pub revision: String,
    /// Every instance of this node.
    pub manifest: BTreeMap<Id<Instance>, Generation>,
    bodies: BTreeMap<Id<Instance>, Arc<InstanceSpec>>,
    /// Instances to be removed.
    pub tombstones: Vec<Tombstone>,
    /// Actions that are not confirmed yet, oldest first.
    pub actions: Vec<AssignedAction>,
    /// Console texts that are asked for.
    pub console_logs: Vec<AssignedConsoleLog>,
}

impl Instances {
    /// Adds an answer to what was known. An answer of another epoch replaces all of it.
    pub fn absorb(before: Option<&Self>, answer: NodeAssignment) -> Self {
        let manifest: BTreeMap<_, _> = answer.manifest.into_iter().map(|entry| (entry.id, entry.generation)).collect();
        let mut bodies = match before {
            Some(known) if known.epoch == answer.epoch => known.bodies.clone(),
            _ => BTreeMap::new(),
        };
        bodies.extend(answer.instances.into_iter().map(|spec| (spec.id, Arc::new(spec))));
        bodies.retain(|id, _| manifest.contains_key(id));
        Self {
            epoch: answer.epoch,
            revision: answer.revision,
            manifest,
            bodies,
            tombstones: answer.tombstones,
            actions: answer.actions,
            console_logs: answer.console_logs,
        }
    }

    /// What is to be done with an instance, if its body is here and is the one that the manifest means.
    pub fn spec(&self, id: Id<Instance>) -> Option<&Arc<InstanceSpec>> {
        self.bodies.get(&id).filter(|spec| self.manifest.get(&id) == Some(&spec.generation))
    }

    /// Whether the manifest names a generation whose body is not here: then everything has to be asked for again.
    pub fn lacks_a_body(&self) -> bool {
        self.manifest.keys().any(|id| self.spec(*id).is_none())
    }

    /// The order to remove this instance, if it holds: of the same epoch as the manifest, and not older than what the
    /// guest has been told since.
    pub fn tombstone(&self, id: Id<Instance>, holds: Option<Generation>) -> Option<&Tombstone> {
        self.tombstones.iter().find(|stone| {
            stone.id == id && stone.epoch == self.epoch && holds.is_none_or(|held| stone.generation >= held)
        })
    }
}

/// Both services' orders. The agent acts on nothing while either is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Compute's.
    pub instances: Arc<Instances>,
    /// Storage's.
    pub storage: Arc<StorageAssignment>,
}
