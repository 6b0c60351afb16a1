//! The world of a simulated machine: what there is on it. It changes by [`Event`]s only, live and when it is replayed.

use super::event::{Event, What};
use crate::{
    failure::{Failure, Result},
    guest::{Guest, GuestDisk, GuestState, Mark, OffCause},
    hypervisor::Observed,
};
use cirro_models::{GiB, Id, MiB, Vcpus, compute::Instance, storage::Volume};
use std::sync::Arc;

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
    /// Whoever looks is given this, not a copy: it is copied when it changes while somebody still looks at it.
    pub(super) there: Arc<Observed>,
    pub(super) counts: Counts,
    /// Whether the machine is not there any more.
    pub(super) lost: bool,
    addresses: u32,
}

impl World {
    pub(super) fn guest(&self, id: Id<Instance>) -> Result<&Guest> {
        self.there.guest(id).ok_or_else(|| absent(id))
    }
    /// Puts a guest here as it is.
    pub(super) fn put(&mut self, guest: Guest) {
        let (id, there) = (guest.id(), Arc::make_mut(&mut self.there));
        there.files.insert(id);
        match there.at(id) {
            Ok(at) => there.guests[at] = guest,
            Err(at) => there.guests.insert(at, guest),
        }
    }
    /// Whether it was there.
    fn take_away(&mut self, id: Id<Instance>) -> bool {
        let there = Arc::make_mut(&mut self.there);
        there.files.remove(&id);
        there.at(id).map(|at| there.guests.remove(at)).is_ok()
    }

    /// Does what was done.
    ///
    /// # Errors
    /// It is none of this world: its guest is not there.
    pub(super) fn apply(&mut self, event: Event) -> Result<()> {
        match (event.of, event.what) {
            (None, What::Lost) => self.lost = true,
            (_, What::VolumeMade(volume)) => {
                self.counts.volumes_made += usize::from(Arc::make_mut(&mut self.there).volumes.insert(volume));
            }
            (_, What::VolumeRemoved(volume)) => {
                self.counts.volumes_removed += usize::from(Arc::make_mut(&mut self.there).volumes.remove(&volume));
            }
            (Some(_), What::Refused) => {}
            (Some(_), What::Built(mark)) => {
                let state = GuestState::Off(OffCause::Host);
                self.put(Guest { mark, state, disks: Vec::new(), address: None });
                self.counts.built += 1;
            }
            (Some(id), What::Removed) => self.counts.removed += usize::from(self.take_away(id)),
            (Some(id), What::Lost) => {
                self.take_away(id);
            }
            (Some(id), what) => self.change(id, what)?,
            (None, what) => return Err(Failure::new(format!("{what:?} is told of no guest"))),
        }
        Ok(())
    }

    /// Does what leaves a guest there.
    fn change(&mut self, id: Id<Instance>, what: What) -> Result<()> {
        let at = self.there.at(id).map_err(|_| absent(id))?;
        let (guest, counts) = (&mut Arc::make_mut(&mut self.there).guests[at], &mut self.counts);
        match what {
            What::Noted(mark) => guest.mark = mark,
            What::Resized(mark) => {
                counts.resized += usize::from(size(&guest.mark) != size(&mark));
                guest.mark = mark;
            }
            What::Rebuilt(mark) => {
                counts.rebuilt += usize::from(guest.mark.root_generation != mark.root_generation);
                guest.mark = mark;
                guest.go_off(OffCause::Host);
            }
            What::Started => {
                self.addresses += 1;
                guest.go_on(self.addresses);
                counts.started += 1;
            }
            What::ShutDown => {
                guest.go_off(OffCause::Guest);
                counts.shut_down += 1;
            }
            What::Killed => {
                guest.go_off(OffCause::Host);
                counts.killed += 1;
            }
            What::WentOff(cause) => guest.go_off(cause),
            What::Attached(volume) => {
                guest.take(volume);
                counts.attached += 1;
            }
            What::Detached(volume) => {
                guest.disks.retain(|disk| disk.volume_id != volume);
                counts.detached += 1;
            }
            other => return Err(Failure::new(format!("{other:?} changes no guest"))),
        }
        Ok(())
    }
}

impl Guest {
    fn go_on(&mut self, address: u32) {
        let [_, a, b, c] = address.to_be_bytes();
        self.state = GuestState::Running;
        self.address = Some(format!("10.{a}.{b}.{c}"));
        self.disks.iter_mut().for_each(|disk| disk.live = true);
    }
    fn go_off(&mut self, cause: OffCause) {
        self.state = GuestState::Off(cause);
        self.address = None;
    }
    fn take(&mut self, volume_id: Id<Volume>) {
        let device = format!("vd{}", char::from(b'b' + u8::try_from(self.disks.len() % 24).unwrap_or(0)));
        self.disks.push(GuestDisk { volume_id, device, kept: true, live: self.state.is_on() });
    }
}

fn absent(id: Id<Instance>) -> Failure {
    Failure::new(format!("there is no guest of instance {id} on this node"))
}

fn size(mark: &Mark) -> (Vcpus, MiB, GiB) {
    (mark.vcpus, mark.memory_mib, mark.disk_gib)
}
