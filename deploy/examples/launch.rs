//! How fast many instances are launched on simulated nodes, and what that costs whoever else asks. `deploy/bench` runs it
//! against a site of its own, with what each figure is made of beside it.
//!
//! `launch API TOKEN-FILE WHAT [COUNT]`: `plan` and `singles` launch COUNT instances, wait until all run and remove them,
//! several times; `once` does so one time, `churn` until it is ended; `ahead` launches them once and leaves them, and waits for 99 of 100;
//! `fill` launches COUNT in one plan and leaves them; `pages` lists, `busy` does so and says that it was while others launched;
//! `floor` measures the bare parts.
//! The image `demo`, the flavor `small` and nodes that are ready have to be there.

use cirro_client::Http;
use cirro_compute::schedule;
use cirro_models::{
    Context, Count, GiB, Id, Labels, MiB, Page, Stores, Vcpus, Verbs,
    compute::{
        Flavor, Instance, LaunchPlan, Node,
        flavor::FlavorFilter,
        instance::{InstanceFilter, InstanceStatus, NewInstance},
        launch_group::{LaunchGroup, Template},
        launch_plan::{LaunchPlanPatch, NewLaunchPlan, PlanIntent, PlanStatus},
        node::{NodeFilter, NodeMode, NodeStatus},
        placement::PlacementPolicy,
    },
    identity::{
        Project, Secret,
        project::{ProjectFilter, ProjectPatch},
    },
    images::{MachineImage, machine_image::MachineImageFilter},
};
use diesel::{connection::SimpleConnection, prelude::*};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Failed = Box<dyn Error + Send + Sync>;

/// Odd, so that a median is a measurement.
const ROUNDS: usize = 5;
/// Single creates under way at once.
const AT_ONCE: usize = 16;
/// For anything to come to rest.
const LIMIT: Duration = Duration::from_mins(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Pages that are asked for in a round, of each kind.
const PAGES: usize = 500;
/// Items of a page.
const ITEMS: i64 = 100;

/// The site, and what is launched there.
struct Site {
    stores: Arc<Stores>,
    token: String,
    project: Id<Project>,
    template: Template,
    made: std::sync::atomic::AtomicUsize,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let (api, token, what, count) = match &given[..] {
        [api, token, what] => (api, token, what, 1000),
        [api, token, what, count] => (api, token, what, count.parse()?),
        _ => return Err("say launch API TOKEN-FILE plan|once|singles|ahead|fill|pages|busy|churn|floor [COUNT]".into()),
    };
    let site = Site::find(api, std::fs::read_to_string(token)?.trim()).await?;
    match what.as_str() {
        "plan" => site.plans(count, ROUNDS).await,
        "once" => site.plans(count, 1).await,
        "singles" => site.singles(count).await,
        "ahead" => site.ahead(count).await,
        "fill" => site.fill(count).await,
        "pages" => site.pages("quiet", PAGES).await,
        "busy" => site.pages("busy", PAGES).await,
        "churn" => site.churn(count).await,
        "floor" => site.floor(count).await,
        other => Err(format!("there is nothing called {other}").into()),
    }
}

impl Site {
    async fn find(api: &str, token: &str) -> Result<Self, Failed> {
        let stores = Arc::new(Stores::default().elsewhere(Arc::new(Http::new(api, None)?)));
        let ctx = Context::client(stores.clone(), Some(Secret::new(token)));
        let one = Page::first(1);
        let flavor = FlavorFilter { name: Some("small".parse()?), ..FlavorFilter::default() };
        let image = MachineImageFilter { name: Some("demo".parse()?), ..MachineImageFilter::default() };
        let project = Project::list(&ctx, &ProjectFilter::default(), &one).await?.items.pop().ok_or("no project")?;
        let flavor = Flavor::list(&ctx, &flavor, &one).await?.items.pop().ok_or("no flavor small")?;
        let image = MachineImage::list(&ctx, &image, &one).await?.items.pop().ok_or("no image demo")?;
        let patch = ProjectPatch {
            max_instances: Some(Count::new(1_000_000)),
            max_vcpus: Some(Vcpus::new(1_000_000)),
            max_memory_mib: Some(MiB::new(1_000_000_000)),
            ..ProjectPatch::default()
        };
        Project::update(&ctx, project.id, patch).await?;
        let template =
            Template { flavor_id: flavor.id, image_id: image.id, ssh_key_ids: Vec::new(), on_node_loss: None };
        let made = std::sync::atomic::AtomicUsize::new(0);
        let site = Self { stores, token: token.to_owned(), project: project.id, template, made };
        site.until_ready().await?;
        Ok(site)
    }

    fn ctx(&self) -> Context {
        let ctx = Context::client(self.stores.clone(), Some(Secret::new(self.token.as_str())));
        ctx.until(Instant::now() + Duration::from_mins(2))
    }

    async fn until_ready(&self) -> Result<(), Failed> {
        let begun = Instant::now();
        let joining = NodeFilter { status: Some(NodeStatus::Joining), ..NodeFilter::default() };
        while !Node::list(&self.ctx(), &joining, &Page::first(1)).await?.items.is_empty() {
            wait(begun, "the nodes are ready").await?;
        }
        Ok(())
    }

    fn plan(&self, count: i64) -> Result<NewLaunchPlan, Failed> {
        let number = self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("bench-{}-{number}", std::process::id());
        let group = LaunchGroup {
            name: name.parse()?,
            count: Count::new(count),
            template: self.template.clone(),
            labels: Labels::new(),
        };
        Ok(serde_json::from_value(serde_json::json!({ "name": name, "groups": [group] }))?)
    }

    /// Until all of a plan has come to rest, however it did.
    async fn until(&self, plan: Id<LaunchPlan>, rests: &PlanStatus) -> Result<(), Failed> {
        let begun = Instant::now();
        loop {
            let plan = LaunchPlan::get(&self.ctx(), plan).await?;
            if plan.status == *rests {
                return Ok(());
            }
            wait(begun, &format!("the plan is {rests}: it is {}, {:?}", plan.status, plan.progress)).await?;
        }
    }

    /// Launches, and says after how many milliseconds that was answered, and all ran.
    async fn launch(&self, count: i64) -> Result<(Id<LaunchPlan>, f64, f64), Failed> {
        let new = self.plan(count)?;
        let begun = Instant::now();
        let plan = LaunchPlan::create(&self.ctx(), new).await?;
        let answered = ms(begun);
        self.until(plan.id, &PlanStatus::Launched).await?;
        let ran = ms(begun);
        let running = self.running(plan.id).await?.len();
        if i64::try_from(running)? != count {
            return Err(format!("{running} of {count} instances run").into());
        }
        Ok((plan.id, answered, ran))
    }

    /// The instances of a plan that run, by their own rows.
    async fn running(&self, plan: Id<LaunchPlan>) -> Result<Vec<Instance>, Failed> {
        let running = Some(InstanceStatus::Running);
        let filter = InstanceFilter { plan_id: Some(plan), status: running, ..InstanceFilter::default() };
        let (mut page, mut rows) = (Page::first(Page::MAX), Vec::new());
        loop {
            let listing = Instance::list(&self.ctx(), &filter, &page).await?;
            rows.extend(listing.items);
            let Some(next) = listing.next else { return Ok(rows) };
            page.after = Some(next);
        }
    }

    async fn undo(&self, plan: Id<LaunchPlan>) -> Result<(), Failed> {
        let patch = LaunchPlanPatch { intent: Some(PlanIntent::Undo), ..LaunchPlanPatch::default() };
        LaunchPlan::update(&self.ctx(), plan, patch).await?;
        self.until(plan, &PlanStatus::Undone).await
    }

    async fn plans(&self, count: i64, rounds: usize) -> Result<(), Failed> {
        let (mut answered, mut ran) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (plan, answer, all) = self.launch(count).await?;
            eprintln!("launch: {count} in one request: answered after {answer:.0} ms, all ran after {all:.0} ms");
            answered.push(answer);
            ran.push(all);
            self.undo(plan).await?;
        }
        println!("plan {count} {:.0} {:.0}", median(answered), median(ran));
        Ok(())
    }

    /// How long it takes until all run but those on one of a hundred nodes, which may be slow; they are not waited for. It is told
    /// by when the rows say that each ran, because what a plan says of its progress is counted only now and then.
    async fn ahead(&self, count: i64) -> Result<(), Failed> {
        let most = count * 99 / 100;
        let plan = LaunchPlan::create(&self.ctx(), self.plan(count)?).await?;
        let begun = Instant::now();
        loop {
            let progress = LaunchPlan::get(&self.ctx(), plan.id).await?.progress;
            if progress.is_some_and(|progress| progress.count("running") >= most) {
                break;
            }
            wait(begun, "99 of 100 run").await?;
        }
        let mut ran: Vec<_> = self.running(plan.id).await?.iter().filter_map(|row| row.ran_at).collect();
        ran.sort_unstable();
        let last = ran.get(usize::try_from(most)? - 1).ok_or("fewer run than the plan says")?;
        let took = (last.micros() - plan.meta.created_at.micros()) / 1000;
        eprintln!("launch: 99 of 100 of {count} ran after {took} ms");
        println!("ahead {count} {took}");
        Ok(())
    }

    async fn fill(&self, count: i64) -> Result<(), Failed> {
        let (_, answered, ran) = self.launch(count).await?;
        println!("fill {count} {answered:.0} {ran:.0}");
        Ok(())
    }

    async fn singles(&self, count: i64) -> Result<(), Failed> {
        let mut ran = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let made: Vec<Id<Instance>> = stream::iter(0..count)
                .map(|n| async move { Ok::<_, Failed>(Instance::create(&self.ctx(), self.single(n)?).await?.id) })
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            let accepted = ms(begun);
            self.until_all_run(count).await?;
            eprintln!("launch: {count} one by one: accepted after {accepted:.0} ms, all ran after {:.0} ms", ms(begun));
            ran.push(ms(begun));
            self.remove(&made).await?;
        }
        println!("singles {count} {:.0}", median(ran));
        Ok(())
    }

    fn single(&self, n: i64) -> Result<NewInstance, Failed> {
        let template = &self.template;
        let (flavor, image) = (template.flavor_id, template.image_id);
        Ok(serde_json::from_value(
            serde_json::json!({ "name": format!("single-{n}"), "flavor_id": flavor, "image_id": image }),
        )?)
    }

    /// Until none is on its way, which one short page tells; then they are counted.
    async fn until_all_run(&self, count: i64) -> Result<(), Failed> {
        let begun = Instant::now();
        for status in [InstanceStatus::Pending, InstanceStatus::Building, InstanceStatus::Starting] {
            let filter = InstanceFilter { status: Some(status), ..InstanceFilter::default() };
            while !Instance::list(&self.ctx(), &filter, &Page::first(1)).await?.items.is_empty() {
                wait(begun, "all instances run").await?;
            }
        }
        let filter = InstanceFilter { status: Some(InstanceStatus::Running), ..InstanceFilter::default() };
        let running = Instance::list(&self.ctx(), &filter, &Page::first(Page::MAX)).await?.items.len();
        if i64::try_from(running)? < count.min(Page::MAX) { Err("some instances do not run".into()) } else { Ok(()) }
    }

    async fn remove(&self, made: &[Id<Instance>]) -> Result<(), Failed> {
        stream::iter(made)
            .map(|id| async move { Instance::delete(&self.ctx(), *id).await.map(drop) })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        let begun = Instant::now();
        while !Instance::list(&self.ctx(), &InstanceFilter::default(), &Page::first(1)).await?.items.is_empty() {
            wait(begun, "the instances are gone").await?;
        }
        Ok(())
    }

    /// The time that half, and 99 of 100, of all pages take, by project, by state, and by node. The three are asked for in turn, in
    /// several rounds, so that what else the machine does falls on all of them.
    async fn pages(&self, when: &str, pages: usize) -> Result<(), Failed> {
        let nodes = Node::list(&self.ctx(), &NodeFilter::default(), &Page::first(Page::MAX)).await?.items;
        let any = InstanceFilter::default();
        let mut kinds = [
            ("project", InstanceFilter { project_id: Some(self.project), ..any.clone() }, Vec::new()),
            ("state", InstanceFilter { status: Some(InstanceStatus::Running), ..any.clone() }, Vec::new()),
            ("node", any, Vec::new()),
        ];
        for _ in 0..ROUNDS {
            for (name, filter, took) in &mut kinds {
                let mut after = None;
                for n in 0..pages {
                    if *name == "node" {
                        (filter.node_id, after) = (Some(nodes[n % nodes.len()].id), None);
                    }
                    let begun = Instant::now();
                    let page = Page { limit: Some(ITEMS), after };
                    after = Instance::list(&self.ctx(), filter, &page).await?.next;
                    took.push(ms(begun));
                }
            }
        }
        for (name, _, mut took) in kinds {
            took.sort_unstable_by(f64::total_cmp);
            println!("pages {when} {name} {:.2} {:.2}", took[took.len() / 2], took[took.len() * 99 / 100]);
        }
        Ok(())
    }

    /// Instances are launched and removed, again and again.
    async fn churn(&self, count: i64) -> Result<(), Failed> {
        loop {
            let (plan, ..) = self.launch(count).await?;
            self.undo(plan).await?;
        }
    }

    /// What a launch can't do without: the scheduler alone, one durable insert of as many rows, and one round trip of its
    /// answer over the loopback.
    async fn floor(&self, count: i64) -> Result<(), Failed> {
        let nodes: Vec<schedule::Candidate> = (0..100).map(candidate).collect();
        let need = schedule::Need { vcpus: Vcpus::new(1), memory_mib: MiB::new(1024), disk_gib: GiB::new(10) };
        let groups = [schedule::Asked { name: "floor".to_owned(), need, count }];
        let request = schedule::Request {
            groups: &groups,
            rules: &[],
            policy: &PlacementPolicy::Spread,
            seed: 7,
            without: &[],
            present: &[],
        };
        let mut placed = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let planned = schedule::plan(&request, &nodes);
            placed.push(ms(begun));
            if i64::try_from(planned.placed())? != count {
                return Err("the nodes are too small".into());
            }
        }
        let body = serde_json::to_vec(&self.plan(count)?)?;
        let insert = tokio::task::spawn_blocking(move || insert(count)).await??;
        println!("floor {count} {:.2} {insert:.2} {:.2}", median(placed), loopback(&body).await?);
        Ok(())
    }
}

fn candidate(_: usize) -> schedule::Candidate {
    let capacity =
        schedule::Need { vcpus: Vcpus::new(4096), memory_mib: MiB::new(1 << 24), disk_gib: GiB::new(1 << 20) };
    let (status, claimed) = (NodeStatus::Ready, schedule::Need::default());
    schedule::Candidate {
        id: Id::new(),
        status,
        mode: NodeMode::Active,
        failing: false,
        capacity,
        claimed,
        labels: Labels::new(),
    }
}

/// One transaction with as many rows of an instance's size, as durable as Cirro's, in a file beside the site's; in
/// milliseconds.
fn insert(count: i64) -> Result<f64, Failed> {
    let folder = tempfile::tempdir()?;
    let mut c = SqliteConnection::establish(&folder.path().join("floor.sqlite").display().to_string())?;
    c.batch_execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE row (id BLOB PRIMARY KEY, body TEXT)",
    )?;
    let body = "x".repeat(600);
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let begun = Instant::now();
        c.batch_execute("BEGIN IMMEDIATE")?;
        for n in 0..count {
            let id = (u128::try_from(round)? << 64 | u128::try_from(n)?).to_be_bytes().to_vec();
            diesel::sql_query("INSERT INTO row VALUES (?, ?)")
                .bind::<diesel::sql_types::Binary, _>(id)
                .bind::<diesel::sql_types::Text, _>(&body)
                .execute(&mut c)?;
        }
        c.batch_execute("COMMIT")?;
        took.push(ms(begun));
    }
    Ok(median(took))
}

/// A round trip of these bytes; in milliseconds.
async fn loopback(body: &[u8]) -> Result<f64, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let length = body.len();
    tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await?;
        let mut heard = vec![0; length];
        while peer.read_exact(&mut heard).await.is_ok() {
            peer.write_all(&heard).await?;
        }
        Ok::<_, std::io::Error>(())
    });
    let mut peer = TcpStream::connect(address).await?;
    peer.set_nodelay(true)?;
    let (mut took, mut heard) = (Vec::new(), vec![0; length]);
    for _ in 0..101 {
        let begun = Instant::now();
        peer.write_all(body).await?;
        peer.read_exact(&mut heard).await?;
        took.push(ms(begun));
    }
    Ok(median(took))
}

async fn wait(begun: Instant, what: &str) -> Result<(), Failed> {
    if begun.elapsed() > LIMIT {
        return Err(format!("it was waited too long until {what}").into());
    }
    tokio::time::sleep(LOOK).await;
    Ok(())
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
