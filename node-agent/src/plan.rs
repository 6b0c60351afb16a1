//! What to do next, decided from what is asked for and what there is. Nothing here does anything: orders and
//! observations in, actions out.
//!
//! The rules that keep guests alive stand here and nowhere else:
//! * without both services' orders there is nothing to do;
//! * only a tombstone of the same epoch, not older than the guest's mark, removes anything;
//! * a root disk is replaced once for each generation that asks for it, and for none that is older than the disk;
//! * a guest that the manifest does not list is left alone;
//! * orders older than the guest's mark come from a control plane that was put back to an earlier state, and are not
//!   followed;
//! * at most one action at a time for each instance and each volume.

use crate::{
    desired::{Desired, Instances, Ordered},
    guest::{Guest, Mark},
    hypervisor::Observed,
    memory::Memory,
    pairs::pairs,
    power,
};
use cirro_models::{
    Id,
    compute::{ConsoleLog, Instance, assignment::InstanceSpec},
    storage::{
        Volume,
        assignment::{AttachmentSpec, VolumeSpec},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What an action works on. No two actions on one subject run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An instance and everything about its guest.
    Instance(Id<Instance>),
    /// A volume's file.
    Volume(Id<Volume>),
    /// A question for a console text.
    Console(Id<ConsoleLog>),
}

/// One thing to do. Actions that change a guest's power carry the mark that is written before they are done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make a guest, and switch it on if its mark says so.
    Build {
        /// All about it.
        spec: Arc<InstanceSpec>,
        /// Its first mark.
        mark: Mark,
    },
    /// Give a guest that is off another size.
    Resize {
        /// The size.
        spec: Arc<InstanceSpec>,
        /// The mark.
        mark: Mark,
    },
    /// Give a guest a new root disk.
    Rebuild {
        /// All about it.
        spec: Arc<InstanceSpec>,
        /// The mark.
        mark: Mark,
    },
    /// Only write the mark.
    Note {
        /// The mark.
        mark: Mark,
    },
    /// Switch on.
    Start {
        /// The mark.
        mark: Mark,
        /// Whether it had been on and went off by an accident.
        again: bool,
    },
    /// Press the power button.
    Shutdown {
        /// The mark.
        mark: Mark,
    },
    /// Pull the plug.
    Kill {
        /// The mark.
        mark: Mark,
    },
    /// Remove the guest and its files: its tombstone is there.
    Remove {
        /// The instance.
        id: Id<Instance>,
    },
    /// Give a guest a volume.
    Attach {
        /// The instance.
        id: Id<Instance>,
        /// The volume.
        volume: Id<Volume>,
    },
    /// Take a volume from a guest.
    Detach {
        /// The instance.
        id: Id<Instance>,
        /// The volume.
        volume: Id<Volume>,
    },
    /// Make a volume's file.
    MakeVolume {
        /// The volume.
        spec: VolumeSpec,
    },
    /// Remove a volume's file: its tombstone is there, and no guest has it.
    RemoveVolume {
        /// The volume.
        id: Id<Volume>,
    },
    /// Read a guest's console text.
    ReadConsole {
        /// The question.
        id: Id<ConsoleLog>,
        /// Whose.
        instance: Id<Instance>,
    },
}

impl Action {
    /// What it works on.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Build { mark, .. }
            | Self::Resize { mark, .. }
            | Self::Rebuild { mark, .. }
            | Self::Note { mark }
            | Self::Start { mark, .. }
            | Self::Shutdown { mark }
            | Self::Kill { mark } => Subject::Instance(mark.id),
            Self::Remove { id } | Self::Attach { id, .. } | Self::Detach { id, .. } => Subject::Instance(*id),
            Self::MakeVolume { spec } => Subject::Volume(spec.id),
            Self::RemoveVolume { id } => Subject::Volume(*id),
            Self::ReadConsole { id, .. } => Subject::Console(*id),
        }
    }
}

/// Everything that can be begun now. Empty while either service's orders are missing.
pub fn plan(desired: Option<&Desired>, observed: &Observed, memory: &Memory) -> Vec<Action> {
    actions(desired, observed, memory).collect()
}

/// The same, worked out one by one: of a long plan only the beginning can be begun.
pub fn actions<'a>(
    desired: Option<&'a Desired>,
    observed: &'a Observed,
    memory: &'a Memory,
) -> impl Iterator<Item = Action> {
    // what has to go goes first: a machine that was switched off and comes back may hold what runs elsewhere by now
    let all = desired.into_iter().flat_map(move |desired| {
        let removals = removals(&desired.instances, observed);
        removals.chain(of_instances(desired, observed, memory)).chain(of_volumes(desired, observed))
    });
    // A list that names a thing twice must not have it worked on twice.
    let mut taken = BTreeSet::new();
    all.filter(move |action| memory.is_free(action.subject()) && taken.insert(action.subject()))
}

/// What instances need that are not to go.
fn of_instances<'a>(desired: &'a Desired, observed: &'a Observed, memory: &'a Memory) -> impl Iterator<Item = Action> {
    let orders = desired.instances.as_ref();
    let mut disks = of_disks(desired, observed);
    let asked = orders.actions.iter().map(|action| action.instance_id);
    let called: BTreeSet<_> = asked.chain(disks.keys().copied()).collect();
    pairs(orders, observed).filter_map(move |(id, ordered, guest)| {
        let spec = ordered.and_then(Ordered::spec);
        if spec.zip(guest).is_some_and(|(spec, guest)| power::is_settled(spec, guest)) && !called.contains(&id) {
            // most guests, with every turn
            debug_assert!(of_instance(spec, guest, None, orders, memory).is_none(), "{id} is not settled");
            return None;
        }
        let is_to_go = orders.tombstone(id, guest.map(|guest| guest.mark.generation)).is_some();
        if is_to_go { None } else { of_instance(spec, guest, disks.remove(&id), orders, memory) }
    })
}

/// What is ordered to go and has left something here.
fn removals(orders: &Instances, observed: &Observed) -> impl Iterator<Item = Action> {
    let dying = orders.tombstones.iter().map(|stone| (stone.id, observed.guest(stone.id)));
    let holds = |(id, guest): &(Id<Instance>, Option<&Guest>)| {
        let something_is_left = guest.is_some() || observed.files.contains(id);
        something_is_left && orders.tombstone(*id, guest.map(|guest| guest.mark.generation)).is_some()
    };
    dying.filter(holds).map(|(id, _)| Action::Remove { id })
}

/// What one of them needs. `disks` is what its guest's volumes need.
fn of_instance(
    spec: Option<&Arc<InstanceSpec>>,
    guest: Option<&Guest>,
    disks: Option<Action>,
    orders: &Instances,
    memory: &Memory,
) -> Option<Action> {
    let Some(spec) = spec else {
        // A detach was ordered by name, so it holds whether or not compute still lists the guest.
        return disks.filter(|action| matches!(action, Action::Detach { .. }));
    };
    match guest {
        None => Some(Action::Build { spec: spec.clone(), mark: first_mark(spec, orders) }),
        Some(guest) => of_shape(spec, guest).or_else(|| power::next(spec, guest, orders, memory)).or(disks),
    }
}

/// What a guest needs before it is started again.
fn of_shape(spec: &Arc<InstanceSpec>, guest: &Guest) -> Option<Action> {
    if awaits_root(spec, guest) {
        return Some(Action::Rebuild { spec: spec.clone(), mark: guest.mark.clone().rebuilt(spec) });
    }
    awaits_size(spec, guest).then(|| Action::Resize { spec: spec.clone(), mark: guest.mark.clone().sized(spec) })
}

/// Whether a guest is to get a new root disk. Only a newer generation counts: what a control plane has forgotten that
/// was put back to an earlier state is no reason to lose a disk.
pub(crate) fn awaits_root(spec: &InstanceSpec, guest: &Guest) -> bool {
    spec.generation >= guest.mark.generation && spec.root_generation > guest.mark.root_generation
}

/// Whether a guest is to get another size now: one that is on keeps its own until it is off.
pub(crate) fn awaits_size(spec: &InstanceSpec, guest: &Guest) -> bool {
    let newer = spec.generation >= guest.mark.generation;
    newer && !guest.state.is_on() && !guest.mark.is_size_of(spec)
}

/// A guest that is not made yet needs no reboot: those that are asked for are done by making it.
fn first_mark(spec: &InstanceSpec, instances: &Instances) -> Mark {
    let asked = instances.actions.iter().filter(|action| action.instance_id == spec.id);
    asked.fold(Mark::of(spec), |mark, action| mark.having_done(Some(action.id)))
}

/// What guests' volumes need: of each guest the first thing.
fn of_disks(desired: &Desired, observed: &Observed) -> BTreeMap<Id<Instance>, Action> {
    let mut disks = BTreeMap::new();
    for attachment in &desired.storage.attachments {
        let guest = observed.guest(attachment.instance_id);
        if let Some(action) = guest.and_then(|guest| of_disk(attachment, guest, observed)) {
            disks.entry(attachment.instance_id).or_insert(action);
        }
    }
    disks
}

fn of_disk(attachment: &AttachmentSpec, guest: &Guest, observed: &Observed) -> Option<Action> {
    let (id, volume) = (guest.id(), attachment.volume_id);
    if attachment.detach {
        return guest.disk(volume).map(|_| Action::Detach { id, volume });
    }
    let elsewhere = || observed.holder(volume).is_some_and(|holder| holder.id() != id);
    let wanted = !guest.has_settled(volume) && observed.volumes.contains(&volume) && !elsewhere();
    wanted.then_some(Action::Attach { id, volume })
}

fn of_volumes(desired: &Desired, observed: &Observed) -> Vec<Action> {
    let dying = &desired.storage.volume_tombstones;
    let removals = dying
        .iter()
        .filter(|id| observed.volumes.contains(id) && observed.holder(**id).is_none())
        .map(|id| Action::RemoveVolume { id: *id });
    let additions = desired
        .storage
        .volumes
        .iter()
        .filter(|spec| !observed.volumes.contains(&spec.id) && !dying.contains(&spec.id))
        .map(|spec| Action::MakeVolume { spec: spec.clone() });
    removals.chain(additions).collect()
}

/// The console texts to be read now: asked for, and neither read already nor being read.
pub fn plan_consoles(instances: &Instances, answered: impl Fn(Id<ConsoleLog>) -> bool, memory: &Memory) -> Vec<Action> {
    instances
        .console_logs
        .iter()
        .filter(|asked| !answered(asked.id))
        .map(|asked| Action::ReadConsole { id: asked.id, instance: asked.instance_id })
        .filter(|action| memory.is_free(action.subject()))
        .collect()
}
