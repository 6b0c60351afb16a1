//! A guest as its node sees it, and the mark that tells Cirro's guests from everybody else's.

use cirro_models::{
    Generation, GiB, Id, MiB, Vcpus,
    compute::{Instance, InstanceAction, assignment::InstanceSpec, instance::Power},
    identity::Project,
    images::MachineImage,
    storage::Volume,
};
use serde::{Deserialize, Serialize};

/// What Cirro writes on a guest, and keeps beside it in the hypervisor: the node has no database of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The instance.
    pub id: Id<Instance>,
    /// The generation of desire that was last acted on.
    pub generation: Generation,
    /// The instance's name, for people and for adoption.
    pub name: String,
    /// Its project, for adoption.
    pub project_id: Id<Project>,
    /// The image that its disk was made from.
    pub image_id: Id<MachineImage>,
    /// Its size.
    pub vcpus: Vcpus,
    /// Its size.
    pub memory_mib: MiB,
    /// Its size.
    pub disk_gib: GiB,
    /// The generation of desire that its root disk was made for; 0 for the first one.
    pub root_generation: Generation,
    /// What was last ordered, written down before it is done.
    pub order: Order,
    /// Actions that are done, the latest last: an agent that was killed between acting and reporting does not act again.
    pub done: Vec<Id<InstanceAction>>,
}

impl Mark {
    /// How many done actions a guest remembers: far more than can wait to be confirmed.
    pub const MAX_DONE: usize = 32;

    /// The mark of a guest that is about to be made.
    pub fn of(spec: &InstanceSpec) -> Self {
        Self {
            id: spec.id,
            generation: spec.generation,
            name: spec.name.to_string(),
            project_id: spec.project_id,
            image_id: spec.image.id,
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            disk_gib: spec.disk_gib,
            root_generation: spec.root_generation,
            order: if spec.power == Power::Running { Order::Start } else { Order::Stop },
            done: Vec::new(),
        }
    }
    /// Whether the guest is as large as it should be.
    pub fn is_size_of(&self, spec: &InstanceSpec) -> bool {
        (self.vcpus, self.memory_mib, self.disk_gib) == (spec.vcpus, spec.memory_mib, spec.disk_gib)
    }
    /// The same with a new root disk from the image that is asked for, and its first start or none before it.
    #[must_use]
    pub fn rebuilt(mut self, spec: &InstanceSpec) -> Self {
        (self.image_id, self.root_generation) = (spec.image.id, spec.root_generation);
        self.ordering(if spec.power == Power::Running { Order::Start } else { Order::Stop })
    }
    /// The same with the size that is asked for.
    #[must_use]
    pub fn sized(mut self, spec: &InstanceSpec) -> Self {
        (self.vcpus, self.memory_mib, self.disk_gib) = (spec.vcpus, spec.memory_mib, spec.disk_gib);
        self
    }
    /// The same with another order.
    #[must_use]
    pub fn ordering(mut self, order: Order) -> Self {
        self.order = order;
        self
    }
    /// The same at another generation.
    #[must_use]
    pub fn at(mut self, generation: Generation) -> Self {
        self.generation = generation;
        self
    }
    /// The same with one more action done.
    #[must_use]
    pub fn having_done(mut self, action: Option<Id<InstanceAction>>) -> Self {
        if let Some(action) = action.filter(|action| !self.done.contains(action)) {
            self.done.push(action);
            let surplus = self.done.len().saturating_sub(Self::MAX_DONE);
            self.done.drain(..surplus);
        }
        self
    }
}

/// What was last ordered of a guest's power. It decides what a guest that is off means: our own doing, an accident,
/// or the guest's own wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// It is to run, and has not been seen running since.
    Start,
    /// It is to run, and has been seen running.
    Running,
    /// It is to be off.
    Stop,
    /// It is to go off and to be started again, for this action.
    Restart(Id<InstanceAction>),
    /// It was to run and has switched itself off; it stays off until somebody wishes otherwise.
    OffByItself,
}

/// Whether a guest executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestState {
    /// It runs.
    Running,
    /// It is held by its host and can go on.
    Paused,
    /// It is off.
    Off(OffCause),
}

impl GuestState {
    /// Whether it has a process.
    pub fn is_on(self) -> bool {
        !matches!(self, Self::Off(_))
    }
}

/// Why a guest is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffCause {
    /// The guest's system switched itself off, or obeyed the power button.
    Guest,
    /// It was destroyed, crashed or failed, or the host can't tell (it was restarted itself).
    Host,
}

/// A volume in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDisk {
    /// The volume.
    pub volume_id: Id<Volume>,
    /// The disk's name in the guest, such as `vdb`.
    pub device: String,
    /// Whether it will be there after a restart.
    pub kept: bool,
    /// Whether it is there now; a guest that is off has only what is kept.
    pub live: bool,
}

/// One of this node's guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Who it is and what was ordered.
    pub mark: Mark,
    /// Whether it executes.
    pub state: GuestState,
    /// The volumes that it has.
    pub disks: Vec<GuestDisk>,
    /// The address that it has got.
    pub address: Option<String>,
}

impl Guest {
    /// The instance.
    pub fn id(&self) -> Id<Instance> {
        self.mark.id
    }
    /// This volume in it.
    pub fn disk(&self, volume: Id<Volume>) -> Option<&GuestDisk> {
        self.disks.iter().find(|disk| disk.volume_id == volume)
    }
    /// Whether this volume is in it, now and after a restart.
    pub fn has_settled(&self, volume: Id<Volume>) -> bool {
        self.disk(volume).is_some_and(|disk| disk.kept && (disk.live || !self.state.is_on()))
    }
}
