//! A site with compute as the service under test; the others only hold rows.

use cirro_compute::{Expansion, fence::Takeover};
use cirro_models::{
    Bytes, Generation, Id, Model, Service, Verbs,
    compute::{
        Flavor, Instance, Node,
        assignment::NodeAssignment,
        instance::InstanceStatus,
        node::{Accelerator, NodeStatus},
        report::{InstanceSeen, NodeReport, NodeSeen},
    },
    identity::Project,
    images::{MachineImage, machine_image::ImageStatus},
    meta::Meta,
    model::Seed,
    sql::Table,
    storage::{Attachment, Volume},
};
use cirro_server::{
    Database, Owner, OwnerContext, Plain,
    db::Migrations,
    owner::Running,
    queue::Pace,
    testkit::{Actor, Actors, Backend, Scratch, Server, Told},
};
use diesel_migrations::embed_migrations;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use uuid::Uuid;

const IDENTITY: Migrations = Migrations(embed_migrations!("../identity/migrations"));
const STORAGE: Migrations = Migrations(embed_migrations!("../storage/migrations"));
const IMAGES: Migrations = Migrations(embed_migrations!("../images/migrations"));

pub(crate) struct Site {
    pub(crate) actors: Actors,
    pub(crate) server: Server,
    pub(crate) compute: Running,
    pub(crate) identity: Running,
    pub(crate) images: Running,
    pub(crate) storage: Running,
    /// A ready node of 8 processors, 8 GiB and 100 GiB.
    pub(crate) node: Id<Node>,
    /// 1 processor, 256 MiB, 2 GiB.
    pub(crate) small: Id<Flavor>,
    /// A ready image of 1 GiB of our project.
    pub(crate) image: Id<MachineImage>,
    sequence: AtomicU64,
    boot: Uuid,
    /// How many instances of a plan are made in one transaction.
    batch: usize,
    pub(crate) databases: [Scratch; 4],
}

/// So many that no plan is larger, unless a test means it to be.
pub(crate) const BATCH: usize = 1000;

impl Site {
    /// Our project may have 20 instances, 16 processors, 8 GiB of memory; theirs the same.
    pub(crate) async fn new(backend: Backend) -> Self {
        Self::with(backend, Takeover::default()).await
    }
    /// The same, taking over from lost nodes like this.
    pub(crate) async fn with(backend: Backend, takeover: Takeover) -> Self {
        Self::of(backend, takeover, BATCH).await
    }
    /// The same, which makes so many instances of a plan in one transaction.
    pub(crate) async fn in_batches(backend: Backend, batch: usize) -> Self {
        Self::of(backend, Takeover::default(), batch).await
    }
    async fn of(backend: Backend, takeover: Takeover, batch: usize) -> Self {
        let databases = [
            backend.open(cirro_compute::MIGRATIONS).await.unwrap(),
            Backend::Sqlite.open(IDENTITY).await.unwrap(),
            Backend::Sqlite.open(IMAGES).await.unwrap(),
            Backend::Sqlite.open(STORAGE).await.unwrap(),
        ];
        let [compute, identity, images, storage] =
            together(&databases[1..], compute(databases[0].database.clone(), takeover, batch));
        let actors = Actors::new();
        let server = Server::start(vec![compute.clone()], &actors).await;
        let (sequence, boot) = (AtomicU64::new(0), Uuid::now_v7());
        let (node, small, image) = (Id::new(), Id::new(), Id::new());
        let mut site = Self {
            actors,
            server,
            compute,
            identity,
            images,
            storage,
            node,
            small,
            image,
            sequence,
            boot,
            batch,
            databases,
        };
        for (id, name) in [(site.actors.project, "ours"), (site.actors.elsewhere, "theirs")] {
            let limits = json!({"name": name, "max_instances": 20, "max_vcpus": 16, "max_memory_mib": 8192});
            let mut project: Project = build(id, limits);
            project.id = id;
            put(&site.identity, project).await;
        }
        site.node = site.new_node("one", 8, 8192, 100).await;
        site.small = site.flavor("small", 1, 256, 2).await;
        site.image = site.image("demo", site.actors.project, |_| ()).await;
        site
    }

    /// Another compute process on the same database, and its server.
    pub(crate) async fn another_process(&self) -> (Running, Server) {
        self.another_process_with(Takeover::default()).await
    }
    /// The same, taking over from lost nodes like this.
    pub(crate) async fn another_process_with(&self, takeover: Takeover) -> (Running, Server) {
        let database = Database::open(&self.databases[0].url, cirro_compute::MIGRATIONS).await.unwrap();
        let [compute, ..] = together(&self.databases[1..], compute(database, takeover, self.batch));
        let server = Server::start(vec![compute.clone()], &self.actors).await;
        (compute, server)
    }

    /// A node that has reported.
    pub(crate) async fn new_node(&self, name: &str, vcpus: i64, memory_mib: i64, disk_gib: i64) -> Id<Node> {
        let new = json!({"name": name, "vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib});
        let made = self.operator("POST", "node", new).await.good();
        let node = id(&made).parse().unwrap();
        self.report(node, self.saw()).await;
        assert_eq!(Node::get(&self.compute.own_context(), node).await.unwrap().status, NodeStatus::Ready);
        node
    }

    pub(crate) async fn flavor(&self, name: &str, vcpus: i64, memory_mib: i64, disk_gib: i64) -> Id<Flavor> {
        let new = json!({"name": name, "vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib});
        id(&self.operator("POST", "flavor", new).await.good()).parse().unwrap()
    }

    /// An image of a project, ready and of 1 GiB unless it is changed.
    pub(crate) async fn image(
        &self,
        name: &str,
        of: Id<Project>,
        change: impl FnOnce(&mut MachineImage),
    ) -> Id<MachineImage> {
        let mut image: MachineImage = build(of, json!({"name": name}));
        image.status = ImageStatus::Ready;
        (image.sha256, image.size_bytes) = (Some("ab".repeat(32)), Some(Bytes::new(1000)));
        image.virtual_bytes = Some(Bytes::new(1 << 30));
        change(&mut image);
        let id = image.id;
        put(&self.images, image).await;
        id
    }

    pub(crate) async fn limit(&self, change: impl Fn(&mut Project) + Send + Sync + 'static) {
        let project = self.actors.project;
        let write = move |tx: &mut cirro_server::Tx<'_>| tx.change::<Project>(project, |row| change(row)).map(drop);
        self.identity.own_context().write(write).await.unwrap();
    }

    pub(crate) async fn call(&self, by: &Actor, method: &str, path: &str, body: Value) -> Told {
        let body = (!body.is_null()).then_some(body);
        self.server.call(Some(by), method, &format!("/compute/v1/{path}"), body.as_ref()).await
    }
    pub(crate) async fn operator(&self, method: &str, path: &str, body: Value) -> Told {
        self.call(&self.actors.operator(), method, path, body).await
    }
    pub(crate) async fn member(&self, method: &str, path: &str, body: Value) -> Told {
        self.call(&self.actors.member(), method, path, body).await
    }
    pub(crate) async fn keyed(&self, by: &Actor, method: &str, path: &str, body: &Value, key: &str) -> Told {
        let bearer = format!("Bearer {}", by.token.expose());
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        self.server.send(method, &format!("/compute/v1/{path}"), &headers, body.to_string()).await
    }

    /// What asks for a small instance of the demo image.
    pub(crate) fn wish(&self, name: &str) -> Value {
        json!({"name": name, "flavor_id": self.small, "image_id": self.image})
    }
    /// An instance that was accepted.
    pub(crate) async fn launch(&self, name: &str) -> Id<Instance> {
        id(&self.member("POST", "instance", self.wish(name)).await.good()).parse().unwrap()
    }
    /// An instance that runs.
    pub(crate) async fn running(&self, name: &str) -> Id<Instance> {
        let id = self.launch(name).await;
        self.saw_as(id, 1, InstanceStatus::Running).await;
        assert_eq!(self.instance(id).await.status, InstanceStatus::Running);
        id
    }
    pub(crate) async fn instance(&self, id: Id<Instance>) -> Instance {
        Instance::get(&self.compute.own_context(), id).await.unwrap()
    }
    pub(crate) async fn exists(&self, id: Id<Instance>) -> bool {
        Instance::get(&self.compute.own_context(), id).await.is_ok()
    }

    /// The next report of a node, with nothing in it.
    pub(crate) fn saw(&self) -> NodeReport {
        NodeReport {
            boot_id: self.boot,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            node: NodeSeen {
                accelerator: Accelerator::Simulated,
                message: None,
                agent_version: "0.1".to_owned(),
                watchdog_s: None,
            },
            instances: vec![],
            gone: vec![],
            unclaimed: vec![],
            actions: vec![],
            console_logs: vec![],
            holdings: None,
            under_way: None,
        }
    }
    /// Sends a report as this node.
    pub(crate) async fn report(&self, node: Id<Node>, report: NodeReport) {
        let told = self.tell(&self.actors.node_of(node), node, &report).await;
        assert_eq!(told.status, 204, "{}", told.text);
    }
    pub(crate) async fn tell(&self, by: &Actor, node: Id<Node>, report: &NodeReport) -> Told {
        self.call(by, "POST", &format!("nodereport/{node}"), serde_json::to_value(report).unwrap()).await
    }
    /// The node reports one instance in this state, at this generation.
    pub(crate) async fn saw_as(&self, id: Id<Instance>, generation: i64, status: InstanceStatus) {
        self.report(self.node, NodeReport { instances: vec![seen(id, generation, status)], ..self.saw() }).await;
    }
    pub(crate) async fn assignment(&self, node: Id<Node>, query: &str) -> NodeAssignment {
        let path = format!("nodeassignment/{node}{query}");
        let told = self.call(&self.actors.node_of(node), "GET", &path, Value::Null).await;
        let assignment: NodeAssignment = serde_json::from_value(told.good()).unwrap();
        assignment.check().unwrap();
        assignment
    }

    /// What compute does without being asked, until this is dropped.
    pub(crate) fn tended(&self) -> Tended {
        Tended::by(&self.compute)
    }

    /// How many instances, processors and MiB our project has, as its quota counts them.
    pub(crate) async fn used(&self) -> [i64; 3] {
        let project = self.actors.project;
        let used = |resource: &'static str| async move {
            self.compute.own_context().write(move |tx| tx.used(project, resource)).await.unwrap()
        };
        [used("instances").await, used("vcpus").await, used("memory_mib").await]
    }
    /// How many claims there are on the nodes.
    pub(crate) async fn claims(&self) -> i64 {
        self.count("SELECT count(*) AS n FROM claim").await
    }
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        use diesel::RunQueryDsl;
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let read = move |c: &mut _| Ok(diesel::sql_query(query).get_result::<Count>(c).unwrap().n);
        self.databases[0].database.read(read).await.unwrap()
    }
}

/// Compute's own work; ends when it is dropped.
pub(crate) struct Tended([tokio::task::JoinHandle<()>; 2]);
impl Tended {
    /// That of one process.
    pub(crate) fn by(compute: &Running) -> Self {
        Self::at(compute, Pace::default())
    }
    /// The same with workers at this pace.
    pub(crate) fn at(compute: &Running, pace: Pace) -> Self {
        let (compute, worker) = (compute.clone(), compute.clone());
        let tasks = tokio::spawn(async move { cirro_compute::tasks::run(|| compute.own_context()).await });
        Self([tasks, tokio::spawn(worker.work(pace))])
    }
}
impl Drop for Tended {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Compute with this database, making so many instances of a plan in one transaction.
pub(crate) fn compute(database: Database, takeover: Takeover, batch: usize) -> Owner {
    cirro_compute::service_with(database, takeover).shares(Arc::new(Expansion::by(batch)))
}

/// Compute, and the other services with their databases, in one process.
pub(crate) fn together(others: &[Scratch], compute: Owner) -> [Running; 4] {
    let [identity, images, storage] = others else { panic!("three others") };
    let owners = vec![
        compute,
        Owner::new(Service::Identity, identity.database.clone()).owns::<Project>(Plain),
        Owner::new(Service::Images, images.database.clone()).owns::<MachineImage>(Plain),
        Owner::new(Service::Storage, storage.database.clone()).owns::<Attachment>(Plain).owns::<Volume>(Plain),
    ];
    Owner::mount_together(owners).try_into().unwrap_or_else(|_| panic!("four"))
}

pub(crate) fn seen(id: Id<Instance>, generation: i64, status: InstanceStatus) -> InstanceSeen {
    InstanceSeen {
        id,
        observed_generation: Generation::new(generation),
        status,
        reason: None,
        address: None,
        powered_off_itself: false,
    }
}

pub(crate) fn id(row: &Value) -> String {
    row["id"].as_str().unwrap_or_else(|| panic!("no id in {row}")).to_owned()
}

pub(crate) fn build<M: Model>(project: Id<Project>, new: Value) -> M {
    let meta = Meta::created("service:test");
    let seed = Seed { id: Uuid::now_v7(), project: Some(project), user: None, meta };
    M::build(serde_json::from_value(new).unwrap(), seed).unwrap()
}

pub(crate) async fn put<M: Table>(owner: &Running, row: M) {
    owner.own_context().write(move |tx| tx.insert(&row)).await.unwrap();
}
