//! The simulated machine as the agent sees it.

use super::{
    event::{Event, What},
    fault::{Due, Faults},
    ledger::{Book, Place},
    world::{Counts, World},
};
use crate::{
    failure::{Failure, Result},
    guest::{Guest, Mark, OffCause},
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
    sync::{Mutex as Turn, Notify, OwnedMutexGuard, watch},
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
    state: Arc<State>,
}

/// What the ledger's writer changes, too.
#[derive(Debug, Default)]
struct State {
    world: Mutex<World>,
    /// Held from the judgement on what is there until that is changed.
    turn: Arc<Turn<()>>,
    /// Whether the machine is not there any more; changed with the world only.
    lost: watch::Sender<bool>,
    changes: Arc<Notify>,
}

impl State {
    fn of(world: World) -> Self {
        let lost = watch::Sender::new(world.lost);
        Self { world: Mutex::new(world), lost, ..Self::default() }
    }
    fn apply(&self, events: Vec<Event>) {
        let mut world = self.world.lock();
        for event in events {
            if let Err(failure) = world.apply(event) {
                tracing::error!(reason = failure.with_causes(), "a simulated machine did what it had not judged");
            }
        }
        self.lost.send_if_modified(|lost| !std::mem::replace(lost, world.lost) && world.lost);
        drop(world);
        self.changes.notify_one();
    }
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
            state: Arc::default(),
        }
    }
    /// The same with what goes wrong on it, counted from `began`.
    #[must_use]
    pub fn failing(self, began: Instant, faults: Vec<Due>) -> Self {
        Self { began, faults: Faults(faults), ..self }
    }
    /// The same with a ledger of what is done to its guests. It begins with what that says is there.
    #[must_use]
    pub fn recorded(self, mut book: Option<Book>) -> Self {
        let world = book.as_mut().map(Book::past).unwrap_or_default();
        Self { book, state: Arc::new(State::of(world)), ..self }
    }
    /// The machine vanishes with all its guests, and nothing can be done there any more.
    ///
    /// # Errors
    /// The ledger can't tell of it: it is still there.
    pub async fn lose(&self) -> Result<()> {
        let (turn, place) = self.begin().await?;
        let ids: Vec<_> = self.state.world.lock().there.guests.iter().map(Guest::id).collect();
        if self.is_lost() {
            return Ok(());
        }
        // the machine first: one whose loss was half written is lost, and the rest of it follows
        let all = std::iter::once(None).chain(ids.into_iter().map(Some));
        self.commit(turn, place, all.map(|of| Event { of, what: What::Lost }).collect()).await
    }
    /// Whether it has vanished, or was switched off: nothing runs there, and nothing ever will.
    pub fn is_lost(&self) -> bool {
        *self.state.lost.borrow()
    }
    /// Returns when it is lost.
    pub async fn until_lost(&self) {
        // this machine is the sender: it can't go before its receiver
        let _ = self.state.lost.subscribe().wait_for(|lost| *lost).await;
    }
    /// How often each thing was done, over all lives of its ledger.
    pub fn counts(&self) -> Counts {
        self.state.world.lock().counts
    }
    /// Destroys a guest behind the agent's back.
    pub async fn destroy(&self, id: Id<Instance>) -> Result<()> {
        self.switch_off(id, OffCause::Host).await
    }
    /// Lets a guest switch itself off.
    pub async fn power_off_inside(&self, id: Id<Instance>) -> Result<()> {
        self.switch_off(id, OffCause::Guest).await
    }
    /// Puts guests and volumes on the machine as they are; no ledger tells of it.
    pub fn put(&self, guests: Vec<Guest>, volumes: BTreeSet<Id<Volume>>) {
        let mut world = self.state.world.lock();
        guests.into_iter().for_each(|guest| world.put(guest));
        Arc::make_mut(&mut world.there).volumes.extend(volumes);
    }
    /// A copy of what there is.
    pub fn look(&self) -> Observed {
        Observed::clone(&self.state.world.lock().there)
    }

    async fn switch_off(&self, id: Id<Instance>, cause: OffCause) -> Result<()> {
        self.act(Some(id), |world| Ok(world.guest(id)?.state.is_on().then_some(What::WentOff(cause)))).await
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

    /// The turn of an operation, and its place in the ledger.
    async fn begin(&self) -> Result<(OwnedMutexGuard<()>, Option<Place>)> {
        let turn = self.state.turn.clone().lock_owned().await;
        let place = match &self.book {
            Some(book) => Some(book.place().await?),
            None => None,
        };
        Ok((turn, place))
    }
    /// Does what the judge says of what is there, if that is anything.
    async fn act(&self, of: Option<Id<Instance>>, judge: impl FnOnce(&World) -> Result<Option<What>>) -> Result<()> {
        let (turn, place) = self.begin().await?;
        let judged = {
            let world = self.state.world.lock();
            if world.lost {
                return Err(Failure::new("the simulated machine has crashed, as --fail says, or was switched off"));
            }
            judge(&world)?
        };
        match judged {
            Some(what) => self.commit(turn, place, vec![Event { of, what }]).await,
            None => Ok(()),
        }
    }
    /// Writes down what is done and does it: both or neither, also where the agent is killed here.
    async fn commit(&self, turn: OwnedMutexGuard<()>, place: Option<Place>, events: Vec<Event>) -> Result<()> {
        let state = self.state.clone();
        let apply = move |events| {
            state.apply(events);
            drop(turn);
        };
        let Some(place) = place else {
            apply(events);
            return Ok(());
        };
        place.write(events, apply).await
    }
    /// Refuses a build, if that is what goes wrong now.
    async fn may_build(&self, id: Id<Instance>) -> Result<()> {
        let refusal = self.faults.refusal(self.began.elapsed(), &mut self.chance.lock());
        let Some(refusal) = refusal else { return Ok(()) };
        self.act(Some(id), |_| Ok(Some(What::Refused))).await?;
        Err(Failure::new(refusal))
    }

    fn has_room(&self, world: &World, spec: &InstanceSpec) -> Result<()> {
        let (mut vcpus, mut memory) = (spec.vcpus.get(), spec.memory_mib.get());
        for guest in world.there.guests.iter().filter(|guest| guest.id() != spec.id) {
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

    async fn observe(&self) -> Result<Arc<Observed>> {
        Ok(self.state.world.lock().there.clone())
    }

    async fn build(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.may_build(spec.id).await?;
        self.act(Some(spec.id), |world| {
            if world.there.guest(spec.id).is_some() {
                return Ok(None);
            }
            self.has_room(world, spec)?;
            Ok(Some(What::Built(mark.clone())))
        })
        .await
    }

    async fn resize(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(Some(mark.id), |world| {
            self.has_room(world, spec)?;
            let guest = world.guest(mark.id)?;
            if guest.state.is_on() {
                return Err(Failure::new(format!("instance {} runs: its size stays until it is off", spec.name)));
            }
            Ok((guest.mark != *mark).then(|| What::Resized(mark.clone())))
        })
        .await
    }

    async fn rebuild(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.may_build(spec.id).await?;
        self.act(Some(spec.id), |world| {
            let rebuilt = world.guest(spec.id)?.mark.root_generation != mark.root_generation;
            Ok(rebuilt.then(|| What::Rebuilt(mark.clone())))
        })
        .await
    }

    async fn note(&self, mark: &Mark) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(Some(mark.id), |world| {
            let news = world.guest(mark.id)?.mark != *mark;
            Ok(news.then(|| What::Noted(mark.clone())))
        })
        .await
    }

    async fn start(&self, id: Id<Instance>) -> Result<()> {
        self.pass(self.knobs.delay.max(self.boot_time())).await;
        self.act(Some(id), |world| Ok((!world.guest(id)?.state.is_on()).then_some(What::Started))).await
    }

    async fn shutdown(&self, id: Id<Instance>) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(Some(id), |world| Ok(world.guest(id)?.state.is_on().then_some(What::ShutDown))).await
    }

    async fn kill(&self, id: Id<Instance>) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(Some(id), |world| Ok(world.guest(id)?.state.is_on().then_some(What::Killed))).await
    }

    async fn remove(&self, id: Id<Instance>) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(Some(id), |world| Ok(world.there.guest(id).map(|_| What::Removed))).await
    }

    async fn make_volume(&self, spec: &VolumeSpec) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(None, |world| Ok((!world.there.volumes.contains(&spec.id)).then_some(What::VolumeMade(spec.id)))).await
    }

    async fn remove_volume(&self, id: Id<Volume>) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(None, |world| Ok(world.there.volumes.contains(&id).then_some(What::VolumeRemoved(id)))).await
    }

    async fn attach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(Some(id), |world| {
            if !world.there.volumes.contains(&volume) {
                return Err(Failure::new(format!("volume {volume} does not lie on this node")));
            }
            Ok(world.guest(id)?.disk(volume).is_none().then_some(What::Attached(volume)))
        })
        .await
    }

    async fn detach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()> {
        self.pass(self.knobs.delay).await;
        self.act(Some(id), |world| Ok(world.guest(id)?.disk(volume).map(|_| What::Detached(volume)))).await
    }

    async fn console_tail(&self, id: Id<Instance>, max_bytes: usize) -> Result<String> {
        self.pass(self.knobs.delay).await;
        let world = self.state.world.lock();
        let text = format!("this is {}, a simulated guest\n", world.guest(id)?.mark.name);
        Ok(text.chars().take(max_bytes).collect())
    }

    fn changes(&self) -> Arc<Notify> {
        self.state.changes.clone()
    }
}
