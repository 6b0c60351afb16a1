//! A service with a queue, and the processes that work on it.

use crate::jobs::{Count, Endless, Fragile, Part, Ring, Step, Tell, World, counted};
use cirro_models::{
    Error, Result, Service, Subject,
    queue::{JobState, QueuedJob},
    sql::AnyConnection,
};
use cirro_server::{
    Database, Owner, Tx,
    db::Migrations,
    owner::Running,
    queue::Pace,
    testkit::{Actors, Backend, Scratch, Server, eventually},
    token::Clock,
};
use diesel::connection::SimpleConnection;
use diesel_migrations::embed_migrations;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, task::JoinHandle};

const BOATS: Migrations = Migrations(embed_migrations!("tests/contract/migrations/compute"));

/// How long the leases of these tests are, by the scene's clock.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A service's database, and the people who look at it.
pub(crate) struct Scene {
    pub world: Arc<World>,
    pub clock: Arc<Clock>,
    pub actors: Actors,
    pub server: Server,
    pub service: Running,
    scratch: Scratch,
}

/// A process that works.
pub(crate) struct Process {
    pub part: Arc<Part>,
    work: JoinHandle<()>,
}

impl Process {
    /// Ends it where it is, as kill -9 would.
    pub(crate) async fn kill(mut self) {
        self.work.abort();
        // so that nothing of it runs any more
        let _ = (&mut self.work).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.work.abort();
    }
}

fn service(database: Database, part: &Arc<Part>) -> Running {
    let owner = Owner::new(Service::Compute, database).shares(part.clone());
    let owner = owner.works::<Count>().works::<Ring>().works::<Tell>().works::<Fragile>().works::<Endless>();
    Owner::mount_together(vec![owner]).remove(0)
}

impl Scene {
    pub(crate) async fn open(backend: Backend) -> Self {
        println!("on {backend:?}");
        let scratch = backend.open(BOATS).await.unwrap();
        let world = Arc::new(World::default());
        let actors = Actors::new();
        let service = service(scratch.database.clone(), &part(&world, None));
        let server = Server::start(vec![service.clone()], &actors).await;
        Self { world, clock: Arc::default(), actors, server, service, scratch }
    }
    /// A pace at which nothing is waited for: leases and waits end by the scene's clock.
    pub(crate) fn pace(&self) -> Pace {
        let quick = Duration::from_millis(5);
        Pace { at_once: 4, lease: LEASE, renewal: quick, look: quick, clock: self.clock.clone() }
    }
    /// A process that stops where its fuse says. On PostgreSQL it has connections of its own.
    pub(crate) async fn process(&self, fuse: Option<Step>, pace: Pace) -> Process {
        let own = &self.scratch.database;
        let database =
            if own.is_exclusive() { own.clone() } else { Database::open(&self.scratch.url, BOATS).await.unwrap() };
        let part = part(&self.world, fuse);
        let work = tokio::spawn(service(database, &part).work(pace));
        Process { part, work }
    }
    /// A write of the service's own.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let by: Subject = self.service.own_context().subject().clone();
        self.service.database().write(&by, None, change).await
    }
    /// Something that no API would do.
    pub(crate) async fn sql(&self, statement: String) {
        let run = move |c: &mut AnyConnection| c.batch_execute(&statement).map_err(Error::internal);
        self.write(move |tx| run(tx.connection())).await.unwrap();
    }
    /// How often the effect in the database is there.
    pub(crate) async fn count(&self) -> i64 {
        self.write(|tx| tx.used(counted(), "effects")).await.unwrap()
    }
    /// What an Operator sees.
    pub(crate) async fn jobs(&self, query: &str) -> Vec<QueuedJob> {
        let path = format!("/compute/v1/job{query}");
        let told = self.server.call(Some(&self.actors.operator()), "GET", &path, None).await;
        serde_json::from_value(told.good()["items"].clone()).unwrap()
    }
    /// Waits until all jobs are in this state.
    pub(crate) async fn all(&self, state: JobState) -> Vec<QueuedJob> {
        eventually(&format!("all jobs are {state}"), async || {
            let jobs = self.jobs("?limit=1000").await;
            jobs.iter().all(|job| job.state == state).then_some(jobs)
        })
        .await
    }
}

fn part(world: &Arc<World>, fuse: Option<Step>) -> Arc<Part> {
    Arc::new(Part { world: world.clone(), fuse, stopped: Notify::new(), go_on: Notify::new() })
}
