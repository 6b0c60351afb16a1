//! A machine without guests: it keeps books as libvirt does, takes as long as it is told to, and is full when its
//! capacity is used up. Tests, demonstrations and rehearsals run hundreds of them in one process.

use crate::{
    failure::{Failure, Result},
    guest::{Guest, GuestDisk, GuestState, Mark, OffCause},
    hypervisor::{Health, Hypervisor, Observed},
};
use async_trait::async_trait;
use cirro_models::{
    Id,
    compute::{Instance, assignment::InstanceSpec, node::Accelerator},
    storage::{Volume, assignment::VolumeSpec},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

/// What can be set.
#[derive(Debug, Clone, Copy)]
pub struct Knobs {
    /// Virtual processors for guests; more are refused.
    pub vcpus: i64,
    /// Memory for guests; more is refused.
    pub memory_mib: i64,
    /// How long every operation takes.
    pub delay: Duration,
}

impl Default for Knobs {
    fn default() -> Self {
        Self { vcpus: 1024, memory_mib: 4 << 20, delay: Duration::ZERO }
    }
}

/// How often each thing was done to guests and volumes, so that tests can prove that nothing was done twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is named for what it counts")]
pub struct Counts {
    pub built: usize,
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
struct World {
    guests: BTreeMap<Id<Instance>, Guest>,
    volumes: BTreeSet<Id<Volume>>,
    counts: Counts,
    addresses: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Simulated {
    knobs: Knobs,
    world: Mutex<World>,
    changes: Arc<Notify>,
}

impl Simulated {
    /// An empty machine.
    pub fn new(knobs: Knobs) -> Self {
        Self { knobs, ..Self::default() }
    }
    /// How often each thing was done.
    pub fn counts(&self) -> Counts {
        self.world.lock().counts
    }
    /// Destroys a guest behind the agent's back.
    pub fn destroy(&self, id: Id<Instance>) {
        self.switch_off(id, OffCause::Host);
    }
    /// Lets a guest switch itself off.
    pub fn power_off_inside(&self, id: Id<Instance>) {
        self.switch_off(id, OffCause::Guest);
    }
    /// Puts guests and volumes on the machine as they are.
    pub fn put(&self, guests: Vec<Guest>, volumes: BTreeSet<Id<Volume>>) {
        let mut world = self.world.lock();
        world.guests.extend(guests.into_iter().map(|guest| (guest.id(), guest)));
        world.volumes.extend(volumes);
    }
    /// What there is.
    pub fn look(&self) -> Observed {
        let world = self.world.lock();
        Observed {
            guests: world.guests.values().cloned().collect(),
            files: world.guests.keys().copied().collect(),
            volumes: world.volumes.clone(),
        }
    }

    fn switch_off(&self, id: Id<Instance>, cause: OffCause) {
        if let Some(guest) = self.world.lock().guests.get_mut(&id).filter(|guest| guest.state.is_on()) {
            guest.state = GuestState::Off(cause);
            guest.address = None;
        }
        self.changes.notify_one();
    }

    async fn change<T>(&self, what: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        if !self.knobs.delay.is_zero() {
            tokio::time::sleep(self.knobs.delay).await;
        }
        let done = what(&mut self.world.lock());
        self.changes.notify_one();
        done
    }

    fn has_room(&self, world: &World, spec: &InstanceSpec) -> Result<()> {
        let (mut vcpus, mut memory) = (spec.vcpus.get(), spec.memory_mib.get());
        for guest in world.guests.values() {
            vcpus += guest.mark.vcpus.get();
            memory += guest.mark.memory_mib.get();
        }
        if vcpus > self.knobs.vcpus || memory > self.knobs.memory_mib {
            return Err(Failure::new(format!(
                "the node has no room for {}: it would hold {vcpus} of {} vCPUs and {memory} of {} MiB; delete instances or \
                 launch it elsewhere",
                spec.name, self.knobs.vcpus, self.knobs.memory_mib
            )));
        }
        Ok(())
    }
}

impl World {
    fn guest(&mut self, id: Id<Instance>) -> Result<&mut Guest> {
        self.guests.get_mut(&id).ok_or_else(|| Failure::new(format!("there is no guest of instance {id} on this node")))
    }
}

#[async_trait]
impl Hypervisor for Simulated {
    async fn health(&self) -> Health {
        Health { accelerator: Accelerator::Simulated, message: None }
    }

    async fn observe(&self) -> Result<Observed> {
        Ok(self.look())
    }

    async fn build(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.change(|world| {
            if world.guests.contains_key(&spec.id) {
                return Ok(());
            }
            self.has_room(world, spec)?;
            let state = GuestState::Off(OffCause::Host);
            let guest = Guest { mark: mark.clone(), state, disks: Vec::new(), address: None };
            world.guests.insert(spec.id, guest);
            world.counts.built += 1;
            Ok(())
        })
        .await
    }

    async fn note(&self, mark: &Mark) -> Result<()> {
        self.change(|world| {
            world.guest(mark.id)?.mark = mark.clone();
            Ok(())
        })
        .await
    }

    async fn start(&self, id: Id<Instance>) -> Result<()> {
        self.change(|world| {
            world.addresses += 1;
            let [_, a, b, c] = world.addresses.to_be_bytes();
            let guest = world.guest(id)?;
            if guest.state.is_on() {
                return Ok(());
            }
            guest.state = GuestState::Running;
            guest.address = Some(format!("10.{a}.{b}.{c}"));
            for disk in &mut guest.disks {
                disk.live = true;
            }
            world.counts.started += 1;
            Ok(())
        })
        .await
    }

    async fn shutdown(&self, id: Id<Instance>) -> Result<()> {
        self.change(|world| {
            let guest = world.guest(id)?;
            if guest.state.is_on() {
                guest.state = GuestState::Off(OffCause::Guest);
                guest.address = None;
                world.counts.shut_down += 1;
            }
            Ok(())
        })
        .await
    }

    async fn kill(&self, id: Id<Instance>) -> Result<()> {
        self.change(|world| {
            let guest = world.guest(id)?;
            if guest.state.is_on() {
                guest.state = GuestState::Off(OffCause::Host);
                guest.address = None;
                world.counts.killed += 1;
            }
            Ok(())
        })
        .await
    }

    async fn remove(&self, id: Id<Instance>) -> Result<()> {
        self.change(|world| {
            world.counts.removed += usize::from(world.guests.remove(&id).is_some());
            Ok(())
        })
        .await
    }

    async fn make_volume(&self, spec: &VolumeSpec) -> Result<()> {
        self.change(|world| {
            world.counts.volumes_made += usize::from(world.volumes.insert(spec.id));
            Ok(())
        })
        .await
    }

    async fn remove_volume(&self, id: Id<Volume>) -> Result<()> {
        self.change(|world| {
            world.counts.volumes_removed += usize::from(world.volumes.remove(&id));
            Ok(())
        })
        .await
    }

    async fn attach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()> {
        self.change(|world| {
            if !world.volumes.contains(&volume) {
                return Err(Failure::new(format!("volume {volume} does not lie on this node")));
            }
            let guest = world.guest(id)?;
            let live = guest.state.is_on();
            if guest.disk(volume).is_none() {
                let device = format!("vd{}", char::from(b'b' + u8::try_from(guest.disks.len() % 24).unwrap_or(0)));
                guest.disks.push(GuestDisk { volume_id: volume, device, kept: true, live });
                world.counts.attached += 1;
            }
            Ok(())
        })
        .await
    }

    async fn detach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()> {
        self.change(|world| {
            let guest = world.guest(id)?;
            let before = guest.disks.len();
            guest.disks.retain(|disk| disk.volume_id != volume);
            world.counts.detached += before - world.guest(id)?.disks.len();
            Ok(())
        })
        .await
    }

    async fn console_tail(&self, id: Id<Instance>, max_bytes: usize) -> Result<String> {
        self.change(|world| {
            let text = format!("this is {}, a simulated guest\n", world.guest(id)?.mark.name);
            Ok(text.chars().take(max_bytes).collect())
        })
        .await
    }

    fn changes(&self) -> Arc<Notify> {
        self.changes.clone()
    }
}
