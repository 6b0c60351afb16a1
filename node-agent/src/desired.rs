//! What the control plane asks of this node, put together from its answers.

use crate::{
    by_id::ById,
    plan::{Action, Subject},
};
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

/// One instance of this node, as it is ordered.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered {
    /// The generation of its desire.
    pub generation: Generation,
    body: Option<Arc<InstanceSpec>>,
}

impl Ordered {
    /// What is to be done with it, if its body is here and is the one that the manifest means.
    pub fn spec(&self) -> Option<&Arc<InstanceSpec>> {
        self.body.as_ref().filter(|spec| spec.generation == self.generation)
    }
}

/// What compute asks for: the complete list, and every body that has come since the epoch began.
#[derive(Debug, Clone, PartialEq)]
pub struct Instances {
    /// The control plane's epoch.
    pub epoch: String,
    /// What to hand back with the next question.
    pub revision: String,
    /// Every instance of this node.
    pub manifest: ById<Instance, Ordered>,
    /// Instances to be removed, in the order of their ids.
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
    pub fn absorb(before: Option<&Self>, mut answer: NodeAssignment) -> Self {
        let listed = answer.manifest.into_iter();
        let mut manifest: ById<_, _> =
            listed.map(|entry| (entry.id, Ordered { generation: entry.generation, body: None })).collect();
        if let Some(known) = before.filter(|known| known.epoch == answer.epoch) {
            let mut known = known.manifest.cursor();
            for (id, ordered) in manifest.iter_mut() {
                ordered.body = known.reach(id, |_| {}).and_then(|known| known.body.clone());
            }
        }
        for spec in answer.instances {
            if let Some(ordered) = manifest.get_mut(spec.id) {
                ordered.body = Some(Arc::new(spec));
            }
        }
        answer.tombstones.sort_by_key(|stone| stone.id);
        Self {
            epoch: answer.epoch,
            revision: answer.revision,
            manifest,
            tombstones: answer.tombstones,
            actions: answer.actions,
            console_logs: answer.console_logs,
            requests: answer.requests,
        }
    }

    /// What is to be done with an instance, if it is listed and its body is here.
    pub fn spec(&self, id: Id<Instance>) -> Option<&Arc<InstanceSpec>> {
        self.manifest.get(id).and_then(Ordered::spec)
    }

    /// Whether the manifest names a generation whose body is not here: then everything has to be asked for again.
    pub fn lacks_a_body(&self) -> bool {
        self.manifest.iter().any(|(_, ordered)| ordered.spec().is_none())
    }

    /// The order to remove this instance, if it holds: of the same epoch as the manifest, and not older than what the
    /// guest has been told since.
    pub fn tombstone(&self, id: Id<Instance>, holds: Option<Generation>) -> Option<&Tombstone> {
        if self.tombstones.is_empty() {
            return None;
        }
        let first = self.tombstones.partition_point(|stone| stone.id < id);
        let mut of_it = self.tombstones[first..].iter().take_while(|stone| stone.id == id);
        of_it.find(|stone| stone.epoch == self.epoch && holds.is_none_or(|held| stone.generation >= held))
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
