//! The jobs of these tests, and the world that they act on.

use async_trait::async_trait;
use cirro_models::{Context, Error, Id, Result, identity::Project};
use cirro_server::{Job, OwnerContext, Tx, queue::Taken};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;
use uuid::Uuid;

/// Where a process may be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A worker has the job, and has done nothing.
    Taken,
    /// Its effect is there, elsewhere, and the queue does not know.
    Done,
    /// It is committed as finished, and its worker was not told.
    Finished,
}

/// What all processes act on.
#[derive(Default)]
pub(crate) struct World {
    /// How often each bell was pulled.
    pub pulled: Mutex<HashMap<Uuid, usize>>,
    /// How many attempts there were.
    pub attempts: AtomicUsize,
    /// Whether the jobs that may fail do.
    pub broken: AtomicBool,
    /// The project and request that the latest job was run for.
    pub told: Mutex<Option<(Option<Id<Project>>, String)>>,
}

/// One process's part: where it stops.
pub(crate) struct Part {
    pub world: Arc<World>,
    pub fuse: Option<Step>,
    /// Told when the fuse has stopped a job.
    pub stopped: Notify,
    /// Lets a job that was stopped go on.
    pub go_on: Notify,
}

impl Part {
    /// Waits until the fuse has stopped a job.
    pub(crate) async fn stop(&self) {
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, self.stopped.notified()).await.expect("no job comes to where it should stop");
    }
    async fn reach(&self, step: Step) {
        if self.fuse == Some(step) {
            self.stopped.notify_one();
            self.go_on.notified().await;
        }
    }
}

fn begun(ctx: &Context) -> Result<Arc<Part>> {
    let part = ctx.stores().part::<Part>()?;
    part.world.attempts.fetch_add(1, Ordering::SeqCst);
    Ok(part)
}

/// The project whose count is the effect.
pub(crate) fn counted() -> Id<Project> {
    Id::from_uuid(Uuid::from_u128(7))
}

/// Adds one in the own database, which is no more once when done twice.
#[derive(Serialize, Deserialize)]
pub(crate) struct Count;
#[async_trait]
impl Job for Count {
    const KIND: &'static str = "count";
    async fn run(self, ctx: &Context, taken: &Taken) -> Result<()> {
        let part = begun(ctx)?;
        part.reach(Step::Taken).await;
        let finished = taken.clone();
        let effect = move |tx: &mut Tx<'_>| {
            tx.charge(counted(), "effects", 1, i64::MAX)?;
            finished.finish(tx)
        };
        ctx.write(effect).await?;
        part.reach(Step::Finished).await;
        Ok(())
    }
}

/// Rings a bell elsewhere: the one with the job's id, so that it rings once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ring;
#[async_trait]
impl Job for Ring {
    const KIND: &'static str = "ring";
    async fn run(self, ctx: &Context, taken: &Taken) -> Result<()> {
        let part = begun(ctx)?;
        part.reach(Step::Taken).await;
        *part.world.pulled.lock().entry(taken.id()).or_default() += 1;
        part.reach(Step::Done).await;
        Ok(())
    }
}

/// Says for whom it is run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tell;
#[async_trait]
impl Job for Tell {
    const KIND: &'static str = "tell";
    async fn run(self, ctx: &Context, _: &Taken) -> Result<()> {
        let told = (ctx.subject().project(), ctx.request_id().to_owned());
        begun(ctx)?.world.told.lock().replace(told);
        Ok(())
    }
}

/// Fails in one way or another while the world is broken.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fragile {
    pub panics: bool,
}
#[async_trait]
impl Job for Fragile {
    const KIND: &'static str = "fragile";
    const ATTEMPTS: i64 = 3;
    async fn run(self, ctx: &Context, _: &Taken) -> Result<()> {
        let part = begun(ctx)?;
        let broken = part.world.broken.load(Ordering::SeqCst);
        assert!(!(broken && self.panics), "what this says is in the log only");
        if broken { Err(Error::unavailable("the vase is broken: glue it")) } else { Ok(()) }
    }
}

/// Is never done within its time.
#[derive(Serialize, Deserialize)]
pub(crate) struct Endless;
#[async_trait]
impl Job for Endless {
    const KIND: &'static str = "endless";
    const ATTEMPTS: i64 = 1;
    const LONGEST: std::time::Duration = std::time::Duration::from_millis(1);
    async fn run(self, ctx: &Context, _: &Taken) -> Result<()> {
        begun(ctx)?;
        std::future::pending().await
    }
}
