//! The workers of a process.

use crate::{
    db::{Database, Tx},
    owner::Running,
    queue::{
        Work, Works,
        lease::{Assignment, later, look, take},
    },
    token::Clock,
};
use cirro_models::{
    Context, Error, Principal, Result, Role, Service, Subject,
    alert::{Alert, Bell},
};
use futures_util::FutureExt;
use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use uuid::Uuid;

static DEAD: Bell = Bell::new(Alert::JobDead);
static UNKNOWN: Bell = Bell::new(Alert::JobKindUnknown);

/// How the workers of a process go about it.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How many jobs run at once.
    pub at_once: usize,
    /// How long a job belongs to its worker when that is not heard of.
    pub lease: Duration,
    /// How often a worker is heard of.
    pub renewal: Duration,
    /// How often there is a look for work that nobody told of: what failed before, and what dead workers had.
    pub look: Duration,
    /// By which leases and waits are judged.
    pub clock: Arc<Clock>,
}

impl Default for Pace {
    /// Eight at once. Work of a process that died goes on elsewhere after half a minute; two renewals may fail before.
    fn default() -> Self {
        Self {
            at_once: 8,
            lease: Duration::from_secs(30),
            renewal: Duration::from_secs(10),
            look: Duration::from_secs(1),
            clock: Arc::default(),
        }
    }
}

impl Running {
    /// Runs the service's jobs until dropped. What is under way then stops, and is taken by another worker once its lease has
    /// run out.
    pub async fn work(self, pace: Pace) {
        let works = Arc::new(self.owner.works.clone());
        let pace = Pace { at_once: pace.at_once.max(1), ..pace };
        let crew = Crew { service: self.service(), works, pace, running: self };
        let mut wakes = crew.database().feed().jobs();
        let (mut under_way, mut told) = (JoinSet::new(), HashSet::new());
        loop {
            wakes.mark_unchanged();
            let full = match crew.fill(&mut under_way, &mut told).await {
                Ok(()) => under_way.len() >= crew.pace.at_once,
                Err(error) => {
                    tracing::info!(service = crew.service.name(), %error, "the queue can't be read just now; looking again");
                    false
                }
            };
            tokio::select! {
                _ = under_way.join_next(), if !under_way.is_empty() => {}
                _ = wakes.changed(), if !full => {}
                () = tokio::time::sleep(crew.pace.look), if !full => {}
            }
        }
    }
}

/// What the workers of a process share.
#[derive(Clone)]
struct Crew {
    service: Service,
    works: Arc<Works>,
    pace: Pace,
    running: Running,
}

impl Crew {
    fn database(&self) -> &Database {
        self.running.database()
    }
    fn now(&self) -> i64 {
        self.pace.clock.now().micros()
    }
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database().write(&crate::controller::service_subject(self.service), None, change).await
    }
    /// Takes as many jobs as there is room for, and begins to run them.
    async fn fill(&self, under_way: &mut JoinSet<()>, told: &mut HashSet<String>) -> Result<()> {
        // what has ended makes room; how it ended was seen to by the worker itself
        while under_way.try_join_next().is_some() {}
        let room = self.pace.at_once.saturating_sub(under_way.len());
        let (works, now) = (self.works.clone(), self.now());
        let (any, unknown) = self.database().read(move |c| look(c, &works, now)).await?;
        for kind in unknown.into_iter().filter(|kind| told.insert(kind.clone())) {
            let service = self.service.name();
            UNKNOWN.ring(|| {
                format!(
                    "{service} has jobs of the kind {kind}, which this release does not know: they stay; run the release \
                     that made them, or drop them with `cirro site queue`"
                )
            });
        }
        if !any || room == 0 {
            return Ok(());
        }
        let works = self.works.clone();
        let (until, room) = (later(now, self.pace.lease), i64::try_from(room).unwrap_or(i64::MAX));
        let round = self.write(move |tx| take(tx, &works, now, until, room)).await?;
        round.dead.iter().for_each(|(kind, id)| self.told_dead(kind, *id));
        for assignment in round.taken {
            let Some(work) = self.works.of(&assignment.kind).cloned() else { continue };
            let crew = self.clone();
            under_way.spawn(async move { crew.run(&*work, assignment).await });
        }
        Ok(())
    }
    /// One attempt, for as long as the lease is ours.
    async fn run(&self, work: &dyn Work, assignment: Assignment) {
        let taken = assignment.taken.clone();
        let outcome = tokio::select! {
            outcome = self.attempt(work, &assignment) => outcome,
            () = self.renew(&assignment) => return,
        };
        let settled = match outcome {
            Ok(()) => self.write(move |tx| taken.finish_if_ours(tx).map(|_| false)).await,
            Err(error) => {
                let (reason, attempts, now) = (error.to_string(), work.attempts(), self.now());
                self.write(move |tx| taken.fail(tx, &reason, attempts, now)).await
            }
        };
        let id = assignment.taken.id();
        match settled {
            Ok(true) => self.told_dead(&assignment.kind, id),
            Ok(false) => {}
            // its lease runs out, and it is run again
            Err(error) => {
                tracing::info!(job = %id, %error, "how a job ended can't be written just now; it is run again");
            }
        }
    }
    async fn attempt(&self, work: &dyn Work, assignment: &Assignment) -> Result<()> {
        let Assignment { taken, kind, payload, request_id, .. } = assignment;
        let ctx = self.context(work, assignment);
        let attempt = AssertUnwindSafe(work.run(&ctx, taken, payload)).catch_unwind();
        let outcome = match tokio::time::timeout(work.longest(), attempt).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::conflict("it panicked: look for its request id in the logs of this service")),
            Err(_) => {
                let detail = format!("it took longer than {} s", work.longest().as_secs_f32());
                Err(Error::DeadlineExceeded { detail })
            }
        };
        if let Err(error) = &outcome {
            // not a warning yet: it is tried again, and an alert is raised when it is given up
            let (id, attempt, error) = (taken.id(), taken.attempt(), error as &dyn std::error::Error);
            tracing::info!(job = %id, kind, request_id, attempt, error, "a job was not done");
        }
        outcome
    }
    /// Ends only when the lease is lost.
    async fn renew(&self, assignment: &Assignment) {
        let id = assignment.taken.id();
        loop {
            tokio::time::sleep(self.pace.renewal).await;
            let (taken, until) = (assignment.taken.clone(), later(self.now(), self.pace.lease));
            match self.write(move |tx| taken.renew(tx, until)).await {
                Ok(true) => {}
                // nothing is left to renew; what it does after its effect is left to it
                Ok(false) if assignment.taken.has_ended() => std::future::pending().await,
                Ok(false) => {
                    tracing::info!(job = %id, "a job was taken by another worker, because this one was late; it stops here");
                    return;
                }
                Err(error) => tracing::info!(job = %id, %error, "a job's lease can't be renewed just now"),
            }
        }
    }
    /// The service, in the project and under the request id of the cause. What it asks of other services has keys that
    /// follow from the job's id: the same in each attempt.
    fn context(&self, work: &dyn Work, assignment: &Assignment) -> Context {
        let project = assignment.project.map(|project| (project, Role::Member));
        let subject = Subject::verified(Principal::Service(self.service.name()), project, false, false, None);
        Context::verified(self.running.stores.clone(), subject, None, assignment.request_id.clone())
            .keyed(assignment.taken.id().to_string())
            .answering(Arc::new(assignment.taken.clone()))
            .until(Instant::now() + work.longest())
    }
    fn told_dead(&self, kind: &str, id: Uuid) {
        let service = self.service.name();
        DEAD.ring(|| {
            format!(
                "job {id} ({kind}) of {service} failed too often and was given up: see why with \
                 `cirro site queue --service {service} --dead`, then requeue or drop it"
            )
        });
    }
}
