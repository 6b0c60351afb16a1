//! The wheel: observe, plan, act, report, whenever something may have changed.

use crate::{
    act,
    begun::{self, Begun},
    consoles::Consoles,
    control_plane::ControlPlane,
    desired::{Desired, Instances},
    failure::Result,
    heartbeats,
    hypervisor::{Hypervisor, Observed},
    memory::Memory,
    plan::{self, Action, Subject},
    pulse::Pulse,
    report::{self, NodeReporter, StorageReporter},
    seen::{self, Told, Untold},
    story::Story,
    watch,
    watchdog::{self, Watchdog},
};
use cirro_models::{
    compute::report::{NodeReport, NodeSeen},
    storage::assignment::{StorageAssignment, StorageReport},
};
use futures_util::FutureExt;
use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch::Receiver},
    task::{Id as TaskId, JoinSet},
};
use tracing::Instrument;
use uuid::Uuid;

/// How an agent works; the defaults suit a machine with real guests.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The most actions at a time.
    pub concurrency: usize,
    /// The longest silence towards compute.
    pub heartbeat: Duration,
    /// How long a question for orders may be held open.
    pub wait: Duration,
    /// How often to look, even if nothing says that something has changed.
    pub look: Duration,
    /// How long a stop waits for actions that are under way.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 4,
            heartbeat: Duration::from_secs(10),
            wait: Duration::from_mins(5).saturating_sub(Duration::from_secs(10)),
            look: Duration::from_secs(5),
            patience: Duration::from_secs(10),
        }
    }
}

/// An agent of one node.
pub struct Agent {
    control_plane: Arc<dyn ControlPlane>,
    hypervisor: Arc<dyn Hypervisor>,
    settings: Settings,
    watchdog: Option<Arc<dyn Watchdog>>,
}

impl Agent {
    /// An agent that has not begun.
    pub fn new(control_plane: Arc<dyn ControlPlane>, hypervisor: Arc<dyn Hypervisor>, settings: Settings) -> Self {
        Self { control_plane, hypervisor, settings, watchdog: None }
    }
    /// The same, which gets leases for this watchdog.
    #[must_use]
    pub fn watched_by(self, watchdog: Arc<dyn Watchdog>) -> Self {
        Self { watchdog: Some(watchdog), ..self }
    }

    /// Works until `stop` is ready, then finishes what is under way. Dropping the future instead is like `kill -9`:
    /// another agent goes on from what there is. Guests run on in either case.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Ended {
        let (to_instances, instances) = tokio::sync::watch::channel(None);
        let (to_volumes, volumes) = tokio::sync::watch::channel(None);
        let (may_ask, asks) = tokio::sync::watch::channel(self.watchdog.is_none());
        let (pulse, turns) = Pulse::new();
        let mut watches = JoinSet::new();
        let (wait, plane) = (self.settings.wait, &self.control_plane);
        watches.spawn(heartbeats::send(plane.clone(), self.settings.heartbeat, turns.clone()));
        watches.spawn(when_allowed(asks.clone(), watch::instances(plane.clone(), wait, turns.clone(), to_instances)));
        watches.spawn(when_allowed(asks, watch::volumes(plane.clone(), wait, turns.clone(), to_volumes)));
        let (plane, watchdog) = (plane.clone(), self.watchdog.clone());
        let unwatched = async move {
            match watchdog {
                Some(watchdog) => watchdog::keep(plane, watchdog, turns, may_ask).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = Wheel::new(self, pulse, instances, volumes).turn(watches, stop) => Ended::Told,
            () = unwatched => Ended::Unwatched,
        }
    }
}

/// Why an agent has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// Its guests may not run any more, or are watched from now on: what it knows counts no more, and another one should begin.
    Unwatched,
}

/// Does this as soon as orders may be asked for.
async fn when_allowed(mut asks: Receiver<bool>, then: impl Future<Output = ()>) {
    if asks.wait_for(|may| *may).await.is_ok() {
        drop(asks);
        then.await;
    }
}

/// What a report was, and whether it was acknowledged.
enum Sent {
    Node(NodeReport, BTreeSet<String>, bool),
    Storage(StorageReport, BTreeSet<String>, bool),
}

struct Wheel {
    agent: Agent,
    pulse: Pulse,
    began: Instant,
    instances: Receiver<Option<Arc<Instances>>>,
    volumes: Receiver<Option<Arc<StorageAssignment>>>,
    memory: Memory,
    consoles: Consoles,
    work: JoinSet<Result<Option<String>>>,
    begun: HashMap<TaskId, Begun>,
    sending: JoinSet<Sent>,
    to_compute: NodeReporter,
    to_storage: StorageReporter,
    for_compute: Story,
    for_storage: Story,
    /// The orders whose wishes the memory has heard.
    heard: Option<Arc<Instances>>,
    blind: bool,
}

impl Wheel {
    fn new(
        agent: Agent,
        pulse: Pulse,
        instances: Receiver<Option<Arc<Instances>>>,
        volumes: Receiver<Option<Arc<StorageAssignment>>>,
    ) -> Self {
        let boot_id = Uuid::now_v7();
        let heartbeat = agent.settings.heartbeat;
        Self {
            agent,
            pulse,
            began: Instant::now(),
            instances,
            volumes,
            memory: Memory::default(),
            consoles: Consoles::default(),
            work: JoinSet::new(),
            begun: HashMap::new(),
            sending: JoinSet::new(),
            to_compute: NodeReporter::new(boot_id, heartbeat),
            to_storage: StorageReporter::new(boot_id),
            for_compute: Story::default(),
            for_storage: Story::default(),
            heard: None,
            blind: false,
        }
    }

    async fn turn(mut self, watches: JoinSet<()>, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        let changes = self.agent.hypervisor.changes();
        loop {
            self.memory.now = self.began.elapsed();
            let wake = self.once().await;
            let pause = wake.saturating_sub(self.began.elapsed());
            self.pulse.beat(pause);
            tokio::select! {
                () = &mut stop => break,
                Some(done) = self.work.join_next_with_id() => self.ended(done),
                Some(sent) = self.sending.join_next() => self.heard(sent.ok()),
                Ok(()) = self.instances.changed() => {}
                Ok(()) = self.volumes.changed() => {}
                () = changes.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            self.gather(&changes).await;
        }
        // nothing more is begun, so nothing more is asked: whoever ends may be ending with the control plane
        drop(watches);
        let patience = self.agent.settings.patience;
        let finish = async { while self.work.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, finish).await.is_err() {
            tracing::warn!("actions are still under way; the next agent goes on with them");
        }
    }

    /// What has come at the same moment is one reason to look, not several: an action's effect is told, and then its end.
    async fn gather(&mut self, changes: &Notify) {
        tokio::task::yield_now().await;
        while let Some(done) = self.work.try_join_next_with_id() {
            self.ended(done);
        }
        while let Some(sent) = self.sending.try_join_next() {
            self.heard(sent.ok());
        }
        // a change that was told is seen in the turn that follows
        let _ = changes.notified().now_or_never();
    }

    /// One turn; answers when the next one is due at the latest.
    async fn once(&mut self) -> Duration {
        let instances = self.instances.borrow_and_update().clone();
        let storage = self.volumes.borrow_and_update().clone();
        let observed = self.observe().await;
        if let Some(observed) = observed.as_deref() {
            self.memory.saw(&observed.guests);
            let desired =
                instances.clone().zip(storage.clone()).map(|(instances, storage)| Desired { instances, storage });
            self.forget(desired.as_ref(), observed);
            self.begin(desired.as_ref(), observed);
            if let Some(desired) = &desired {
                self.report_storage(desired, observed);
            }
        }
        self.report_node(instances.as_deref(), observed.as_deref()).await;
        let look = self.memory.now + self.agent.settings.look;
        let reports =
            self.to_compute.next().min(self.to_storage.next()).max(self.memory.now + Duration::from_millis(200));
        self.memory.next_attempt().map_or(look, |time| time.min(look)).min(reports)
    }

    async fn observe(&mut self) -> Option<Arc<Observed>> {
        match self.agent.hypervisor.observe().await {
            Ok(observed) => {
                self.blind = false;
                Some(observed)
            }
            Err(failure) => {
                if !self.blind {
                    tracing::warn!(
                        reason = failure.with_causes(),
                        "can't see the guests: nothing is done until that changes"
                    );
                }
                self.blind = true;
                None
            }
        }
    }

    fn forget(&mut self, desired: Option<&Desired>, observed: &Observed) {
        let Some(desired) = desired else { return };
        self.consoles.keep(&desired.instances.console_logs);
        // orders are never changed: other ones are another `Arc`
        if !self.heard.as_ref().is_some_and(|heard| Arc::ptr_eq(heard, &desired.instances)) {
            self.memory.heard(desired.instances.manifest.iter().map(|(id, ordered)| (id, ordered.generation)));
            self.heard = Some(desired.instances.clone());
        }
        self.memory.keep(desired, observed);
    }

    fn begin(&mut self, desired: Option<&Desired>, observed: &Observed) {
        let free = self.agent.settings.concurrency.saturating_sub(self.work.len());
        if free == 0 {
            return;
        }
        let mut actions = Vec::new();
        if let Some(desired) = desired {
            let now = self.memory.now;
            let settled = |id| self.consoles.is_settled(id, now);
            actions.extend(plan::plan_consoles(&desired.instances, settled, &self.memory).into_iter().take(1));
        }
        let free = free.saturating_sub(actions.len());
        actions.extend(plan::actions(desired, observed, &self.memory).take(free));
        for action in actions {
            let request = desired.and_then(|desired| desired.request_of(&action)).map(str::to_owned);
            let begun = Begun::now(&action, request);
            tracing::info!(action = action.verb(), subject = ?begun.subject, request_id = begun.request, "begun");
            self.memory.begin(&action);
            let hypervisor = self.agent.hypervisor.clone();
            let span = tracing::info_span!("act", request_id = begun.request);
            let work = async move { act::perform(&action, hypervisor.as_ref()).await };
            let work = begun.watch.clone().during(work);
            let task = self.work.spawn(work.instrument(span));
            self.begun.insert(task.id(), begun);
        }
    }

    fn ended(&mut self, done: std::result::Result<(TaskId, Result<Option<String>>), tokio::task::JoinError>) {
        self.memory.now = self.began.elapsed();
        let (task, outcome) = match done {
            Ok((task, outcome)) => (task, outcome.map_err(|failure| (failure.to_string(), failure.with_causes()))),
            Err(error) => {
                (error.id(), Err(("the agent failed at it; see the node's log".to_owned(), error.to_string())))
            }
        };
        let Some(Begun { subject, of_disks, request, .. }) = self.begun.remove(&task) else { return };
        if let Err((_, causes)) = &outcome {
            tracing::warn!(?subject, reason = causes, request_id = request, "an action failed");
        }
        if let Some(request) = request {
            let story = if of_disks { &mut self.for_storage } else { &mut self.for_compute };
            story.done_for(request);
        }
        if let Subject::Console(id) = subject {
            self.memory.end(subject, None);
            self.consoles.read(id, outcome.map(Option::unwrap_or_default).map_err(|(sentence, _)| sentence));
        } else {
            self.memory.end(subject, outcome.err().map(|(sentence, _)| sentence));
        }
    }

    async fn report_node(&mut self, orders: Option<&Instances>, observed: Option<&Observed>) {
        if self.to_compute.is_sending() {
            return;
        }
        let health = self.agent.hypervisor.health().await;
        let within = match &self.agent.watchdog {
            Some(watchdog) => watchdog.within().await,
            None => None,
        };
        let node = NodeSeen {
            accelerator: health.accelerator,
            message: health.message,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            watchdog_s: within.map(|within| i64::try_from(within.as_secs()).unwrap_or(i64::MAX)),
        };
        let mut rest = NodeReport {
            console_logs: self.consoles.waiting(),
            under_way: begun::oldest(self.begun.values()),
            ..report::of(node)
        };
        let seen = orders.zip(observed);
        if let Some((orders, observed)) = seen {
            rest.gone = seen::gone(orders, observed, &self.memory);
            rest.unclaimed = seen::unclaimed(orders, observed);
            rest.actions = seen::actions(orders, observed);
            let ended = rest.actions.iter().filter(|done| self.to_compute.is_news(done)).map(|done| done.id);
            let of = ended.filter_map(|id| orders.actions.iter().find(|action| action.id == id));
            self.to_compute.repeat(&of.map(|action| action.instance_id).collect::<Vec<_>>());
        } else if orders.is_some() {
            // Blind: what was reported stays as it was, and only the node's own trouble is told.
            rest.unclaimed = self.to_compute.unclaimed();
        }
        let epoch = orders.map(|orders| orders.epoch.as_str());
        let untold = |told: &Told| match seen {
            Some((orders, observed)) => Untold::of(orders, observed, &self.memory, told),
            None => Untold::blind(told),
        };
        let holdings = || seen.and_then(|(_, observed)| seen::holdings(observed));
        let due = self.to_compute.due(self.memory.now, epoch, rest, untold, holdings);
        let Some(report) = due else { return };
        let control_plane = self.agent.control_plane.clone();
        let (id, requests) = self.for_compute.report("compute");
        self.sending.spawn(async move {
            let result = control_plane.report(&report, &id).await;
            if let Err(error) = &result {
                tracing::debug!(%error, "compute did not take the report; it is told again");
            }
            Sent::Node(report, requests, result.is_ok())
        });
    }

    fn report_storage(&mut self, desired: &Desired, observed: &Observed) {
        if self.to_storage.is_sending() {
            return;
        }
        let whole = StorageReport {
            boot_id: Uuid::nil(),
            sequence: 0,
            volumes: seen::volumes(&desired.storage, observed, &self.memory),
            volumes_gone: seen::volumes_gone(&desired.storage, observed),
            attachments: seen::attachments(&desired.storage, observed, &self.memory),
            detached: seen::detached(desired, observed, &self.memory),
            files: seen::volume_files(observed),
        };
        let Some(report) = self.to_storage.due(self.memory.now, &desired.storage.epoch, whole) else { return };
        let control_plane = self.agent.control_plane.clone();
        let (id, requests) = self.for_storage.report("storage");
        self.sending.spawn(async move {
            let result = control_plane.storage_report(&report, &id).await;
            if let Err(error) = &result {
                tracing::debug!(%error, "storage did not take the report; it is told again");
            }
            Sent::Storage(report, requests, result.is_ok())
        });
    }

    fn heard(&mut self, sent: Option<Sent>) {
        let now = self.began.elapsed();
        match sent {
            Some(Sent::Node(report, requests, acknowledged)) => {
                if acknowledged {
                    self.for_compute.told(&requests);
                    self.consoles.acknowledge(&report.console_logs, now);
                }
                self.to_compute.sent(now, report, acknowledged);
            }
            Some(Sent::Storage(report, requests, acknowledged)) => {
                if acknowledged {
                    self.for_storage.told(&requests);
                }
                self.to_storage.sent(now, report, acknowledged);
            }
            None => {
                tracing::error!("the agent failed at a report; it is told again");
                // nobody knows which it was: of two that are on their way, the other is told twice, which harms nothing
                self.to_compute.cut_off(now);
                self.to_storage.cut_off(now);
            }
        }
    }
}

impl Action {
    fn verb(&self) -> &'static str {
        match self {
            Self::Build { .. } => "build",
            Self::Resize { .. } => "resize",
            Self::Rebuild { .. } => "rebuild",
            Self::Note { .. } => "note",
            Self::Start { .. } => "start",
            Self::Shutdown { .. } => "shutdown",
            Self::Kill { .. } => "kill",
            Self::Remove { .. } => "remove",
            Self::Attach { .. } => "attach",
            Self::Detach { .. } => "detach",
            Self::MakeVolume { .. } => "make volume",
            Self::RemoveVolume { .. } => "remove volume",
            Self::ReadConsole { .. } => "read console",
        }
    }
}
