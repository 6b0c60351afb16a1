//! What the control plane is told, worked out from orders and observations alone: an agent that was killed before it
//! could report says the same after its restart.

use crate::{
    by_id::ById,
    desired::{Desired, Instances, Ordered},
    guest::{Guest, GuestState, OffCause, Order},
    hypervisor::Observed,
    memory::{Memory, Trouble},
    pairs::pairs,
    plan::{self, Subject},
    power::{STOP_PATIENCE, is_settled},
};
use cirro_models::{
    Generation, Id,
    compute::{
        Instance,
        assignment::{AssignedAction, InstanceSpec},
        instance::{InstanceStatus, Power},
        report::{ActionDone, GoneInstance, Holdings, InstanceSeen, UnclaimedSeen},
    },
    storage::{
        Volume,
        assignment::{AttachmentSeen, AttachmentSpec, StorageAssignment, StorageReport, VolumeSeen},
        attachment::AttachmentStatus,
        volume::VolumeStatus,
    },
};

/// From this many failed attempts on, something counts as failed; attempts go on all the same.
const GIVES_UP_HOPE: u32 = 3;

/// The status of every instance that the manifest lists and whose body is here.
pub fn instances(orders: &Instances, observed: &Observed, memory: &Memory) -> Vec<InstanceSeen> {
    Untold::of(orders, observed, memory, &Told::new()).instances
}

/// The statuses that the control plane has acknowledged.
pub type Told = ById<Instance, InstanceSeen>;

/// What of the statuses is not as it was told.
#[derive(Debug, Default)]
pub struct Untold {
    /// Those that are new or other ones, in the order of their ids.
    pub instances: Vec<InstanceSeen>,
    /// Of which there is nothing to be told any more.
    pub unseen: Vec<Id<Instance>>,
}

impl Untold {
    /// While nothing can be seen, nothing is told, and all of it again after that.
    pub fn blind(told: &Told) -> Self {
        Self { instances: Vec::new(), unseen: told.iter().map(|(id, _)| id).collect() }
    }
    /// Compares what is seen with what was told.
    pub fn of(orders: &Instances, observed: &Observed, memory: &Memory, told: &Told) -> Self {
        let (mut untold, mut all_told) = (Self::default(), told.cursor());
        for (id, ordered, guest) in pairs(orders, observed) {
            let told = all_told.reach(id, |id| untold.unseen.push(id));
            let is_to_go = || orders.tombstone(id, guest.map(|guest| guest.mark.generation)).is_some();
            let Some(spec) = ordered.and_then(Ordered::spec).filter(|_| !is_to_go()) else {
                untold.unseen.extend(told.map(|_| id));
                continue;
            };
            if told.zip(guest).is_some_and(|(told, guest)| rests_as_told(spec, guest, memory, told)) {
                debug_assert_eq!(told, Some(&instance(spec, guest, memory)));
                continue;
            }
            let seen = instance(spec, guest, memory);
            if told != Some(&seen) {
                untold.instances.push(seen);
            }
        }
        untold.unseen.extend(all_told.rest());
        untold
    }
}

/// Whether a guest is as it is wished to be, nothing goes wrong with it, and just that was told: most guests are found so with
/// every turn, without working out how they are seen.
fn rests_as_told(spec: &InstanceSpec, guest: &Guest, memory: &Memory, told: &InstanceSeen) -> bool {
    is_settled(spec, guest)
        && memory.trouble(Subject::Instance(spec.id)).is_none()
        && told.observed_generation == spec.generation
        && told.status == InstanceStatus::Running
        && told.reason.is_none()
        && told.address == guest.address
        && !told.powered_off_itself
}

fn instance(spec: &InstanceSpec, guest: Option<&Guest>, memory: &Memory) -> InstanceSeen {
    let trouble = memory.trouble(Subject::Instance(spec.id));
    let mut seen = InstanceSeen {
        id: spec.id,
        observed_generation: spec.generation,
        status: InstanceStatus::Building,
        reason: trouble.map(|trouble| trouble.sentence.clone()),
        address: None,
        powered_off_itself: false,
    };
    let Some(guest) = guest else {
        seen.status = hopeful(InstanceStatus::Building, trouble);
        return seen;
    };
    if guest.state.is_on() {
        seen.address.clone_from(&guest.address);
    }
    if guest.mark.generation > spec.generation {
        seen.observed_generation = guest.mark.generation;
        seen.status = if guest.state.is_on() { InstanceStatus::Running } else { InstanceStatus::Stopped };
        seen.reason = Some(format!(
            "its guest was told generation {}, and the control plane knows only {}: it was put back to an earlier state; \
             change the instance's power to take the guest over",
            guest.mark.generation, spec.generation
        ));
        return seen;
    }
    if plan::awaits_root(spec, guest) {
        seen.status = hopeful(InstanceStatus::Building, trouble);
        return seen;
    }
    if plan::awaits_size(spec, guest) {
        seen.status = hopeful(InstanceStatus::Stopped, trouble);
        if seen.status == InstanceStatus::Stopped {
            // the wish has not been followed yet
            seen.observed_generation = guest.mark.generation.min(Generation::new(spec.generation.get() - 1));
        }
        return seen;
    }
    (seen.status, seen.reason) = match (&spec.power, guest.state) {
        (Power::Running, GuestState::Off(_)) => {
            seen.powered_off_itself = went_off_by_itself(spec, guest);
            if seen.powered_off_itself {
                (InstanceStatus::Stopped, Some("the guest switched itself off".to_owned()))
            } else {
                (hopeful(coming_up(guest), trouble), seen.reason)
            }
        }
        (Power::Stopped, GuestState::Off(_)) => (InstanceStatus::Stopped, None),
        (Power::Stopped, _) => going_off(spec, memory, seen.reason),
        (_, GuestState::Paused) => {
            (InstanceStatus::Running, Some("its host has paused it; look at the node's disk room and log".to_owned()))
        }
        _ if matches!(guest.mark.order, Order::Restart(_)) => (InstanceStatus::Rebooting, seen.reason),
        _ => (InstanceStatus::Running, seen.reason),
    };
    seen
}

fn hopeful(status: InstanceStatus, trouble: Option<&Trouble>) -> InstanceStatus {
    if trouble.is_some_and(|trouble| trouble.attempts >= GIVES_UP_HOPE) { InstanceStatus::Failed } else { status }
}

fn coming_up(guest: &Guest) -> InstanceStatus {
    if matches!(guest.mark.order, Order::Restart(_)) { InstanceStatus::Rebooting } else { InstanceStatus::Starting }
}

fn went_off_by_itself(spec: &InstanceSpec, guest: &Guest) -> bool {
    let unasked = match guest.mark.order {
        Order::OffByItself => true,
        Order::Running => guest.state == GuestState::Off(OffCause::Guest),
        _ => false,
    };
    unasked && spec.generation == guest.mark.generation
}

fn going_off(spec: &InstanceSpec, memory: &Memory, reason: Option<String>) -> (InstanceStatus, Option<String>) {
    let deaf = memory.asked(spec.id).is_some_and(|asked| memory.now.saturating_sub(asked.first) >= STOP_PATIENCE);
    if deaf && !spec.force_stop {
        let text = "the guest does not react to its power button; stop it with force to pull the plug";
        return (InstanceStatus::Running, Some(text.to_owned()));
    }
    (InstanceStatus::Stopping, reason)
}

/// Tombstones of this epoch of which nothing is left here, nor is just being made.
pub fn gone(orders: &Instances, observed: &Observed, memory: &Memory) -> Vec<GoneInstance> {
    let gone = orders.tombstones.iter().filter(|stone| {
        // a build that has left no trace yet may still leave one: whoever hears of `gone` starts the instance elsewhere
        let busy = memory.busy.contains(&Subject::Instance(stone.id));
        let left = observed.guest(stone.id).is_some() || observed.files.contains(&stone.id);
        stone.epoch == orders.epoch && !busy && !left
    });
    gone.map(|stone| GoneInstance { id: stone.id, generation: stone.generation }).collect()
}

/// Guests that the manifest does not list and no tombstone removes.
pub fn unclaimed(orders: &Instances, observed: &Observed) -> Vec<UnclaimedSeen> {
    let nobodys = pairs(orders, observed).filter_map(|(id, ordered, guest)| {
        let guest = guest.filter(|_| ordered.is_none())?;
        orders.tombstone(id, Some(guest.mark.generation)).is_none().then_some(guest)
    });
    nobodys
        .map(|guest| UnclaimedSeen {
            id: guest.id(),
            generation: guest.mark.generation,
            name: guest.mark.name.clone(),
            project_id: Some(guest.mark.project_id.uuid()),
            vcpus: guest.mark.vcpus,
            memory_mib: guest.mark.memory_mib,
            disk_gib: guest.mark.disk_gib,
            image_id: Some(guest.mark.image_id.uuid()),
            running: guest.state.is_on(),
        })
        .collect()
}

/// All that is here, in the order of the ids, unless it is too much to be told.
pub fn holdings(observed: &Observed) -> Option<Holdings> {
    let guests: Vec<_> = observed.guests.iter().map(Guest::id).collect();
    let mut rest = guests.as_slice();
    let of_no_guest = |id: &&Id<Instance>| {
        while rest.first().is_some_and(|guest| guest < *id) {
            rest = &rest[1..];
        }
        rest.first() != Some(*id)
    };
    let files: Vec<_> = observed.files.iter().filter(of_no_guest).copied().collect();
    let few = guests.len() <= Holdings::MOST && files.len() <= Holdings::MOST;
    few.then_some(Holdings { guests, files })
}

/// Every volume whose file is here, unless there are too many to be told.
pub fn volume_files(observed: &Observed) -> Option<Vec<Id<Volume>>> {
    (observed.volumes.len() <= StorageReport::MOST_FILES).then(|| observed.volumes.iter().copied().collect())
}

/// Actions that have ended, done or not.
pub fn actions(orders: &Instances, observed: &Observed) -> Vec<ActionDone> {
    orders.actions.iter().filter_map(|action| ended(action, orders, observed)).collect()
}

fn ended(action: &AssignedAction, orders: &Instances, observed: &Observed) -> Option<ActionDone> {
    let failed = |sentence: &str| Some(ActionDone { id: action.id, error: Some(sentence.to_owned()) });
    let guest = observed.guest(action.instance_id);
    if let Some(guest) = guest.filter(|guest| guest.mark.done.contains(&action.id)) {
        // Done means that the guest was started: one that is still to come up is not done yet.
        return (guest.mark.order != Order::Start).then_some(ActionDone { id: action.id, error: None });
    }
    let Some(spec) = orders.spec(action.instance_id) else {
        let listed = orders.manifest.contains_key(&action.instance_id);
        return if listed { None } else { failed("the instance is not on this node any more") };
    };
    let interrupted = guest.is_some_and(|guest| guest.mark.order == Order::Restart(action.id));
    if spec.power == Power::Stopped && !interrupted {
        return failed("the instance is stopped: start it instead");
    }
    None
}

/// Every volume of this node that is settled one way or the other.
pub fn volumes(orders: &StorageAssignment, observed: &Observed, memory: &Memory) -> Vec<VolumeSeen> {
    let settled = orders.volumes.iter().filter_map(|spec| {
        if observed.volumes.contains(&spec.id) {
            return Some(VolumeSeen { id: spec.id, status: VolumeStatus::Available, reason: None });
        }
        let trouble = memory.trouble(Subject::Volume(spec.id))?;
        let reason = Some(trouble.sentence.clone());
        Some(VolumeSeen { id: spec.id, status: VolumeStatus::Failed, reason })
    });
    settled.collect()
}

/// Tombstones of volumes of which nothing is left here.
pub fn volumes_gone(
    orders: &StorageAssignment,
    observed: &Observed,
) -> Vec<cirro_models::Id<cirro_models::storage::Volume>> {
    let gone = |id: &&_| !observed.volumes.contains(*id) && observed.holder(**id).is_none();
    orders.volume_tombstones.iter().filter(gone).copied().collect()
}

/// Every attachment that is settled one way or the other.
pub fn attachments(orders: &StorageAssignment, observed: &Observed, memory: &Memory) -> Vec<AttachmentSeen> {
    let wanted = orders.attachments.iter().filter(|attachment| !attachment.detach);
    wanted.filter_map(|attachment| attached(attachment, observed, memory)).collect()
}

fn attached(attachment: &AttachmentSpec, observed: &Observed, memory: &Memory) -> Option<AttachmentSeen> {
    let failed = |sentence: String| {
        Some(AttachmentSeen {
            id: attachment.id,
            status: AttachmentStatus::Failed,
            reason: Some(sentence),
            device: None,
        })
    };
    let guest = observed.guest(attachment.instance_id)?;
    if guest.has_settled(attachment.volume_id) {
        let device = guest.disk(attachment.volume_id).map(|disk| disk.device.clone());
        return Some(AttachmentSeen { id: attachment.id, status: AttachmentStatus::Attached, reason: None, device });
    }
    let trouble = memory.trouble(Subject::Instance(attachment.instance_id));
    failed(trouble.filter(|trouble| trouble.attempts >= GIVES_UP_HOPE)?.sentence.clone())
}

/// Attachments that are to go and whose guest no longer has the disk, nor is just being given it.
pub fn detached(
    desired: &Desired,
    observed: &Observed,
    memory: &Memory,
) -> Vec<cirro_models::Id<cirro_models::storage::Attachment>> {
    let let_go = |attachment: &&AttachmentSpec| {
        let busy = memory.busy.contains(&Subject::Instance(attachment.instance_id));
        let has =
            observed.guest(attachment.instance_id).is_some_and(|guest| guest.disk(attachment.volume_id).is_some());
        attachment.detach && !busy && !has
    };
    desired.storage.attachments.iter().filter(let_go).map(|attachment| attachment.id).collect()
}
