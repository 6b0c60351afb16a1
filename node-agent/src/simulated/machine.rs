//! The simulated machine as the agent sees it.

use super::{
    fault::{Due, Faults},
    ledger::{Book, Place},
    world::{Counts, World},
};
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
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// What can be set.
#[derive(Debug, Clone, Copy)]
pub struct Knobs {
    /// Virtual processors for guests; more are refused.
    pub vcpus: i64,
    /// Memory for guests; more is refused.
    pub memory_mib: i64,
    /// How long every operation takes.
    pub delay: Duration,
    /// How long a guest takes to start: at least, and at most.
    pub boot: [Duration; 2],
    /// What chance follows: the same seed, the same boots and errors.
    pub seed: u64,
}

impl Default for Knobs {
    fn default() -> Self {
        Self { vcpus: 1024, memory_mib: 4 << 20, delay: Duration::ZERO, boot: [Duration::ZERO; 2], seed: 0 }
    }
}

/// A machine whose guests are entries in its books.
#[derive(Debug)]
pub struct Simulated {
    knobs: Knobs,
    began: Instant,
    faults: Faults,
    chance: Mutex<fastrand::Rng>,
    book: Option<Book>,
    world: Mutex<World>,
    /// Whether the machine is not there any more; changed with the world only.
    lost: watch::Sender<bool>,
    changes: Arc<Notify>,
}

impl Simulated {
    /// An empty machine.
    pub fn new(knobs: Knobs) -> Self {
        Self {
            knobs,
            began: Instant::now(),
            faults: Faults::default(),
            chance: Mutex::new(fastrand::Rng::with_seed(knobs.seed)),
            book: None,
            world: Mutex::default(),
            lost: watch::Sender::new(false),
            changes: Arc::default(),
        }
    }
    /// The same with what goes wrong on it, counted from `began`.
    #[must_use]
    pub fn failing(self, began: Instant, faults: Vec<Due>) -> Self {
        Self { began, faults: Faults(faults), ..self }
    }
    /// The same with a ledger of what is done to its guests.
    #[must_use]
    pub fn recorded(self, book: Option<Book>) -> Self {
        Self { book, ..self }
    }
    /// The machine vanishes with all its guests, and nothing can be done there any more.
    pub async fn lose(&self) {
        let guests = {
            let mut world = self.world.lock();
            self.lost.send_replace(true);
            std::mem::take(&mut world.guests)
        };
        for id in guests.into_keys() {
            // without a writer there is nothing to tell
            if let Some(Ok(place)) = self.place().await.transpose() {
                place.write(id, "lost");
            }
        }
    }
    /// Whether it has vanished, or was switched off: nothing runs there, and nothing ever will.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }
    /// Returns when it is lost.
    pub async fn until_lost(&self) {
        // this machine is the sender: it can't go before its receiver
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
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

    /// Passes the time of an operation, which never ends on a machine that hangs.
    async fn pass(&self, time: Duration) {
        self.hang().await;
        let time = time.max(self.faults.delay(self.began.elapsed()));
        if !time.is_zero() {
            tokio::time::sleep(time).await;
            self.hang().await;
        }
    }
    async fn hang(&self) {
        if self.faults.hang(self.began.elapsed()) {
            std::future::pending::<()>().await;
        }
    }
    fn boot_time(&self) -> Duration {
        let [least, most] = self.knobs.boot.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Duration::from_millis(self.chance.lock().u64(least..=most.max(least)))
    }
    async fn place(&self) -> Result<Option<Place>> {
        match &self.book {
            Some(book) => book.place().await.map(Some),
            None => Ok(None),
        }
    }

    async fn change<T>(&self, what: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        self.pass(self.knobs.delay).await;
        self.enter(what)
    }
    fn enter<T>(&self, what: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        let mut world = self.world.lock();
        if self.is_lost() {
            return Err(Failure::new("the simulated machine has crashed, as --fail says"));
        }
        let done = what(&mut world);
        drop(world);
        self.changes.notify_one();
        done
    }
    /// A change with a line in the ledger, unless it was made before.
    async fn record(&self, id: Id<Instance>, done: &str, what: impl FnOnce(&mut World) -> Result<bool>) -> Result<()> {
        let place = self.place().await?;
        // in one go with the change: an agent that is killed here has done both or neither
        self.enter(|world| {
            let changed = what(world)?;
            if let Some(place) = place.filter(|_| changed) {
                place.write(id, done);
            }
            Ok(())
        })
    }
    /// Refuses a build, if that is what goes wrong now.
    async fn may_build(&self, id: Id<Instance>) -> Result<()> {
        let Some(refusal) = self.faults.refusal(self.began.elapsed(), &mut self.chance.lock()) else { return Ok(()) };
        if let Some(place) = self.place().await? {
            place.write(id, "refused");
        }
        Err(Failure::new(refusal))
    }

    fn has_room(&self, world: &World, spec: &InstanceSpec) -> Result<()> {
        let (mut vcpus, mut memory) = (spec.vcpus.get(), spec.memory_mib.get());
        for guest in world.guests.values().filter(|guest| guest.id() != spec.id) {
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

#[async_trait]
impl Hypervisor for Simulated {
    async fn health(&self) -> Health {
        Health { accelerator: Accelerator::Simulated, message: None }
    }

    async fn observe(&self) -> Result<Observed> {
        Ok(self.look())
    }

    async fn build(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.may_build(spec.id).await?;
        self.record(spec.id, "built", |world| {
            if world.guests.contains_key(&spec.id) {
                return Ok(false);
            }
            self.has_room(world, spec)?;
            let state = GuestState::Off(OffCause::Host);
            let guest = Guest { mark: mark.clone(), state, disks: Vec::new(), address: None };
            world.guests.insert(spec.id, guest);
            world.counts.built += 1;
            Ok(true)
        })
        .await
    }

    async fn resize(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.change(|world| {
            self.has_room(world, spec)?;
            let guest = world.guest(mark.id)?;
            if guest.state.is_on() {
                return Err(Failure::new(format!("instance {} runs: its size stays until it is off", spec.name)));
            }
            let resized = !guest.mark.is_size_of(spec);
            guest.mark = mark.clone();
            world.counts.resized += usize::from(resized);
            Ok(())
        })
        .await
    }

    async fn rebuild(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.may_build(spec.id).await?;
        self.record(spec.id, "rebuilt", |world| {
            let guest = world.guest(spec.id)?;
            let rebuilt = guest.mark.root_generation != mark.root_generation;
            guest.mark = mark.clone();
            guest.state = GuestState::Off(OffCause::Host);
            guest.address = None;
            world.counts.rebuilt += usize::from(rebuilt);
            Ok(rebuilt)
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
        self.pass(self.knobs.delay.max(self.boot_time())).await;
        self.record(id, "started", |world| {
            world.addresses += 1;
            let [_, a, b, c] = world.addresses.to_be_bytes();
            let guest = world.guest(id)?;
            if guest.state.is_on() {
                return Ok(false);
            }
            guest.state = GuestState::Running;
            guest.address = Some(format!("10.{a}.{b}.{c}"));
            for disk in &mut guest.disks {
                disk.live = true;
            }
            world.counts.started += 1;
            Ok(true)
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
        self.pass(self.knobs.delay).await;
        self.record(id, "removed", |world| {
            let removed = world.guests.remove(&id).is_some();
            world.counts.removed += usize::from(removed);
            Ok(removed)
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
