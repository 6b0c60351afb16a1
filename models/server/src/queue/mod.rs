//! The work queue: what a service goes on with after it has answered.
//!
//! It rests on four ideas:
//! * **A job is committed with its cause** ([`Tx::enqueue`](crate::Tx::enqueue)): there is no effect without the job that
//!   follows from it, and no job whose cause was taken back.
//! * **A worker holds a job under a lease** that it renews. When the worker dies, the lease runs out, and another one takes
//!   the job, in whichever process: each job is run *at least* once.
//! * **The effect is there exactly once.** One in the same database is committed together with [`Taken::finish`]; one
//!   elsewhere is made so that repeating it changes nothing, by [`Taken::id`].
//! * **Nothing is tried for ever.** A job that fails waits longer each time, and is dead in the end: it stays, an alert is
//!   raised, and an Operator requeues or drops it.

mod backoff;
mod enqueue;
mod lease;
mod operate;
mod work;

pub use lease::Taken;
pub(crate) use operate::{Operation, get, list, operate};
pub use work::Pace;

use async_trait::async_trait;
use cirro_models::{Context, Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, marker::PhantomData, sync::Arc, time::Duration};

/// Deferred work of one kind. Its fields are the payload: ids of what it is about. They are shown to Operators and kept in
/// the database, so they hold no secret and nobody's token.
#[async_trait]
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What is to be done, such as `remove-image`. It never changes: jobs of an older release are read by it.
    const KIND: &'static str;
    /// How often it is tried. With the waits between them, 12 attempts take about 20 minutes.
    const ATTEMPTS: i64 = 12;
    /// How long one attempt may take.
    const LONGEST: Duration = Duration::from_secs(600);

    /// Does it, as the service, in the project and under the request id of its cause. It may have been begun before, and
    /// may be stopped anywhere. An effect in the service's own database is written together with [`Taken::finish`]; a job
    /// that has none is finished when this returns.
    ///
    /// # Errors
    /// Whatever keeps it from being done now: it is tried again later.
    async fn run(self, ctx: &Context, taken: &Taken) -> Result<()>;
}

/// A kind of job with its type forgotten.
#[async_trait]
pub(crate) trait Work: Send + Sync {
    fn attempts(&self) -> i64;
    fn longest(&self) -> Duration;
    async fn run(&self, ctx: &Context, taken: &Taken, payload: &str) -> Result<()>;
}

struct Of<J>(PhantomData<fn() -> J>);

#[async_trait]
impl<J: Job> Work for Of<J> {
    fn attempts(&self) -> i64 {
        J::ATTEMPTS
    }
    fn longest(&self) -> Duration {
        J::LONGEST
    }
    async fn run(&self, ctx: &Context, taken: &Taken, payload: &str) -> Result<()> {
        // what is wrong is told without the payload's words
        let job: J = serde_json::from_str(payload).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = format!("its payload can't be read as {} at {line}:{column}", J::KIND);
            Error::conflict(format!(
                "{what}: it was written by another release, or by hand; drop it, or run that release"
            ))
        })?;
        job.run(ctx, taken).await
    }
}

/// The kinds of jobs that a service knows.
#[derive(Clone, Default)]
pub(crate) struct Works(BTreeMap<&'static str, Arc<dyn Work>>);

impl Works {
    pub(crate) fn add<J: Job>(&mut self) {
        self.0.insert(J::KIND, Arc::new(Of::<J>(PhantomData)));
    }
    pub(crate) fn of(&self, kind: &str) -> Option<&Arc<dyn Work>> {
        self.0.get(kind)
    }
    /// Every kind.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }
}
