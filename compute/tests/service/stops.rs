//! Compute's process stops at each commit of a launch and of its end, once just before the commit and once just after. A new one
//! opens the same database and goes on, its caller repeats what was not answered, and the node's agent is the real one: everything
//! is made once and goes once.

use super::{
    machine::Machine,
    site::{Site, Tended, compute, id, together},
};
use cirro_compute::fence::Takeover;
use cirro_models::{Id, compute::Flavor, finding::Findings, images::MachineImage};
use cirro_server::{
    Database,
    db::Side,
    owner::Running,
    queue::Pace,
    testkit::{Actors, Backend, Empty, Scratch, Server},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// How many instances of a plan are made in one transaction.
const BATCH: usize = 2;
/// How many stories are told at once.
const AT_ONCE: usize = 4;

/// A process of compute.
struct Process {
    compute: Running,
    server: Arc<Server>,
    _tended: Tended,
}

impl Process {
    async fn start(url: &str, others: &[Scratch], actors: &Actors) -> Self {
        let began = Instant::now();
        let database = loop {
            // the one before it may be about to let go
            match Database::open(url, cirro_compute::MIGRATIONS).await {
                Ok(database) => break database,
                Err(error) => assert!(began.elapsed() < LIMIT, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let [compute, ..] = together(others, compute(database, Takeover::default(), BATCH));
        let server = Arc::new(Server::start(vec![compute.clone()], actors).await);
        // what a dead worker had is taken soon
        let quick = Duration::from_millis(200);
        let pace = Pace { lease: Duration::from_secs(1), renewal: quick, look: quick, ..Pace::default() };
        let tended = Tended::at(&compute, pace);
        Self { compute, server, _tended: tended }
    }
    fn database(&self) -> &Database {
        self.compute.database()
    }
}

/// A site of one node, whose compute may be stopped.
struct Stage {
    process: Option<Process>,
    machine: Machine,
    actors: Actors,
    small: Id<Flavor>,
    image: Id<MachineImage>,
    stops: usize,
    others: Vec<Scratch>,
    place: Empty,
}

impl Stage {
    async fn set(backend: Backend, stop: Option<(usize, Side)>) -> Self {
        let Site { actors, node, small, image, databases, server, compute, identity, images, storage, .. } =
            Site::new(backend).await;
        drop((server, compute, identity, images, storage));
        let mut databases = databases.into_iter();
        let place = databases.next().unwrap().let_go().await;
        let machine = Machine::of(node, &actors);
        let others = databases.collect();
        let mut stage = Self { process: None, machine, actors, small, image, stops: 0, others, place };
        stage.begin().await;
        if let Some((commit, side)) = stop {
            stage.process().database().stop_at(commit, side);
        }
        stage.machine.begin();
        stage
    }
    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }
    async fn begin(&mut self) {
        let process = Process::start(&self.place.url, &self.others, &self.actors).await;
        self.machine.calls(Some(process.server.clone()));
        self.process = Some(process);
    }
    /// A new process in the place of one that has stopped; says whether one had.
    async fn mend(&mut self) -> bool {
        let stopped = self.process().database().has_stopped();
        if stopped {
            self.stops += 1;
            self.machine.calls(None);
            self.process = None;
            self.begin().await;
        }
        stopped
    }
    /// Asks until there is an answer, always under the same key.
    async fn ask(&mut self, method: &str, path: &str, body: &Value, key: &str) -> Value {
        let bearer = format!("Bearer {}", self.actors.member().token.expose());
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (path, began) = (format!("/compute/v1/{path}"), Instant::now());
        loop {
            let told = self.process().server.send(method, &path, &headers, body.clone()).await;
            if told.status < 300 {
                return told.json();
            }
            assert!(self.mend().await, "nothing has stopped: {method} {path}: {}", told.text);
            assert!(began.elapsed() < LIMIT, "{}", told.text);
        }
    }
    /// Reads as an operator.
    async fn read(&mut self, path: &str) -> Value {
        let bearer = format!("Bearer {}", self.actors.operator().token.expose());
        loop {
            let path = format!("/compute/v1/{path}");
            let told = self.process().server.send("GET", &path, &[("authorization", &bearer)], String::new()).await;
            if told.status < 300 {
                return told.json();
            }
            assert!(self.mend().await, "nothing has stopped: GET {path}: {}", told.text);
        }
    }
    async fn until(&mut self, what: &str, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            self.mend().await;
            let told = self.read(path).await;
            if is(&told) {
                return told;
            }
            assert!(began.elapsed() < LIMIT, "{what}: {told:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    /// A count, once it is this.
    async fn counts(&mut self, what: &'static str, expected: i64) {
        use diesel::RunQueryDsl;
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let began = Instant::now();
        loop {
            let query = format!("SELECT CAST(coalesce(({what}), 0) AS bigint) AS n");
            let read = move |c: &mut _| Ok(diesel::sql_query(query).get_result::<Count>(c).unwrap().n);
            match self.process().database().read(read).await {
                Ok(n) if n == expected => return,
                Ok(n) => assert!(began.elapsed() < LIMIT, "{what}: {n}, not {expected}"),
                Err(error) => assert!(self.mend().await, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    async fn books_say(&mut self, instances: i64) {
        for (what, each) in [
            ("SELECT count(*) FROM instance", 1),
            ("SELECT count(*) FROM claim", 1),
            ("SELECT sum(vcpus) FROM claim", 1),
            ("SELECT sum(memory_mib) FROM claim", 256),
            ("SELECT count(*) FROM launch", 1),
            ("SELECT sum(used) FROM quota_usage WHERE resource = 'instances'", 1),
            ("SELECT sum(used) FROM quota_usage WHERE resource = 'vcpus'", 1),
            ("SELECT sum(used) FROM quota_usage WHERE resource = 'memory_mib'", 256),
        ] {
            self.counts(what, instances * each).await;
        }
    }
    async fn audit_finds_nothing(&mut self) {
        let nothing = |told: &Value| {
            let told: Findings = serde_json::from_value(told.clone()).unwrap();
            told.items.is_empty() && told.more.is_empty()
        };
        self.until("the audit finds nothing", "audit", nothing).await;
    }
}

/// Five instances are launched, two at a time; one is deleted, and the plan is undone. Answers how many commits there were, and how often compute
/// was stopped.
async fn story(backend: Backend, stop: Option<(usize, Side)>) -> (usize, usize) {
    let mut stage = Stage::set(backend, stop).await;
    let template = json!({"flavor_id": stage.small, "image_id": stage.image});
    let wish = json!({"name": "shop", "groups": [{"name": "web", "count": 5, "template": template}]});
    let plan = id(&stage.ask("POST", "launchplan", &wish, "launch").await);
    let path = format!("launchplan/{plan}");
    let launched = stage.until("it is launched", &path, |plan| plan["status"] == "launched").await;
    assert_eq!((&launched["progress"]["counts"], &launched["outlook"]["placed"]), (&json!({"running": 5}), &json!(5)));
    stage.books_say(5).await;
    let first = stage.read("instance?name=web-0001").await["items"][0].clone();

    stage.ask("DELETE", &format!("instance/{}", id(&first)), &Value::Null, "delete").await;
    stage.books_say(4).await;
    stage.ask("PATCH", &path, &json!({"intent": "undo"}), "undo").await;
    let undone = stage.until("it is undone", &path, |plan| plan["status"] == "undone").await;
    assert_eq!(undone["progress"]["counts"], json!({"gone": 5}));
    stage.books_say(0).await;
    stage.counts("SELECT count(*) FROM tombstone", 0).await;
    stage.counts("SELECT count(*) FROM plan_launch", 0).await;
    stage.counts("SELECT count(*) FROM job WHERE state <> 'done'", 0).await;
    stage.audit_finds_nothing().await;
    let (counts, left) = (stage.machine.simulated.counts(), stage.machine.simulated.look().guests.len());
    assert_eq!((counts.built, counts.started, counts.removed, left), (5, 5, 5, 0));
    (stage.process().database().commits(), stage.stops)
}

async fn stopped_at_each_commit(backend: Backend) {
    let (commits, stops) = story(backend, None).await;
    assert!(commits >= 10 && stops == 0, "{commits} commits");
    // how many there are depends on what meets in one report: there may be a few more
    let points = (1..=commits + 4).flat_map(|commit| [(commit, Side::Before), (commit, Side::After)]);
    let told = stream::iter(points).map(|(commit, side)| async move {
        let (_, stops) = tokio::spawn(story(backend, Some((commit, side)))).await.unwrap_or_else(|error| {
            panic!("{backend:?}, stopped {side:?} commit {commit}: {error}");
        });
        stops
    });
    let stops: Vec<usize> = told.buffer_unordered(AT_ONCE).collect().await;
    let stopped = stops.iter().filter(|stops| **stops == 1).count();
    assert!(
        stops.iter().all(|stops| *stops <= 1) && stopped >= 2 * commits - 4,
        "{stopped} of {commits} commits: {stops:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_at_each_commit_on_sqlite_everything_is_made_and_goes_once() {
    stopped_at_each_commit(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_at_each_commit_on_postgresql_everything_is_made_and_goes_once() {
    stopped_at_each_commit(Backend::Postgres).await;
}
