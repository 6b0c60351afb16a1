//! What the control plane asks of this node, put together from its answers.

use crate::plan::{Action, Subject};
use cirro_models::{
    Generation, Id,
    compute::{
        Instance,
        assignment::{AssignedAction, AssignedConsoleLog, InstanceSpec, NodeAssignment, Tombstone},
    },
    storage::{Volume, assignment::StorageAssignment},
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

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
    /// Under which requests what is not done yet was asked for, by its id.
    pub requests: BTreeMap<Uuid, String>,
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
            requests: answer.requests,
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

impl Desired {
    /// Under which request an action is done, if the control plane told: for the log, and the report.
    pub fn request_of(&self, action: &Action) -> Option<&str> {
        let (compute, storage) = (&self.instances.requests, &self.storage.requests);
        let attachment = |id: Id<Instance>, volume: Id<Volume>| {
            let mut ours = self.storage.attachments.iter();
            let ours = ours.find(|row| row.instance_id == id && row.volume_id == volume)?;
            storage.get(&ours.id.uuid())
        };
        let found = match action {
            Action::Attach { id, volume } | Action::Detach { id, volume } => attachment(*id, *volume),
            _ => match action.subject() {
                Subject::Volume(id) => storage.get(&id.uuid()),
                Subject::Console(id) => compute.get(&id.uuid()),
                // what changes an instance, or else what is asked of one that stays as it is
                Subject::Instance(id) => compute.get(&id.uuid()).or_else(|| {
                    let asked = self.instances.actions.iter().find(|asked| asked.instance_id == id)?;
                    compute.get(&asked.id.uuid())
                }),
            },
        };
        found.map(String::as_str)
    }
}
