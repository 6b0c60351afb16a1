//! What the agent needs of a machine that runs guests. Two things do it: libvirt, and the simulated hypervisor.
//!
//! Everything that decides stands above this trait and is the same for both. An implementation only sees and does: each
//! operation is idempotent (doing what is done already succeeds), each touches only guests that carry this node's mark.

use crate::{
    failure::Result,
    guest::{Guest, Mark},
};
use async_trait::async_trait;
use cirro_models::{
    Id,
    compute::{Instance, assignment::InstanceSpec, node::Accelerator},
    storage::{Volume, assignment::VolumeSpec},
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::Notify;

/// The machine as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What executes guests.
    pub accelerator: Accelerator,
    /// What is wrong, in a sentence.
    pub message: Option<String>,
}

/// What there is on the machine. Guests without this node's mark do not appear: nothing above can name them, so
/// nothing above can touch them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// This node's guests, in the order of their ids, each once.
    pub guests: Vec<Guest>,
    /// Instances that have files here: those of guests, and those of guests that are half made or half removed.
    pub files: BTreeSet<Id<Instance>>,
    /// Volumes whose files are complete.
    pub volumes: BTreeSet<Id<Volume>>,
}

impl Observed {
    /// This instance's guest.
    pub fn guest(&self, id: Id<Instance>) -> Option<&Guest> {
        self.at(id).ok().map(|at| &self.guests[at])
    }
    /// Where this instance's guest is among the guests; without one, where it would be.
    pub(crate) fn at(&self, id: Id<Instance>) -> std::result::Result<usize, usize> {
        self.guests.binary_search_by_key(&id, Guest::id)
    }
    /// The guest that has this volume.
    pub fn holder(&self, volume: Id<Volume>) -> Option<&Guest> {
        self.guests.iter().find(|guest| guest.disk(volume).is_some())
    }
}

/// A machine that runs guests.
#[async_trait]
pub trait Hypervisor: Send + Sync + 'static {
    /// What executes guests, and what is wrong. Cheap: asked before every report.
    async fn health(&self) -> Health;

    /// Everything of this node that there is. Fails rather than answering a part.
    async fn observe(&self) -> Result<Arc<Observed>>;

    /// Makes the disks and the guest, which is off and carries this mark.
    async fn build(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()>;

    /// Replaces a guest's mark, durably.
    async fn note(&self, mark: &Mark) -> Result<()>;

    /// Gives a guest that is off the size of this spec and this mark, at once; its disk only grows.
    async fn resize(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()>;

    /// Gives a guest a new root disk from the image of this spec, and this mark; one that runs loses its power for that.
    async fn rebuild(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()>;

    /// Switches a guest on.
    async fn start(&self, id: Id<Instance>) -> Result<()>;

    /// Presses the guest's power button; does not wait for the effect.
    async fn shutdown(&self, id: Id<Instance>) -> Result<()>;

    /// Pulls a guest's plug.
    async fn kill(&self, id: Id<Instance>) -> Result<()>;

    /// Removes a guest and its own files, running or not. Volumes stay.
    async fn remove(&self, id: Id<Instance>) -> Result<()>;

    /// Makes a volume's file.
    async fn make_volume(&self, spec: &VolumeSpec) -> Result<()>;

    /// Removes a volume's file.
    async fn remove_volume(&self, id: Id<Volume>) -> Result<()>;

    /// Gives a guest a volume, now and after a restart.
    async fn attach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()>;

    /// Takes a volume from a guest, now and after a restart. Done only when the guest has let it go.
    async fn detach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()>;

    /// The last part of what a guest has printed, at most this many bytes, with control characters escaped.
    async fn console_tail(&self, id: Id<Instance>, max_bytes: usize) -> Result<String>;

    /// Wakes whoever waits when something has changed here. Losing a wake costs time, never truth.
    fn changes(&self) -> Arc<Notify>;
}
