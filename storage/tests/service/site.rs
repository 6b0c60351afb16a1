//! A site of three services, with storage as the one under test.

use cirro_models::{
    Context, Error, Id, Model, Result, Service, Timestamp, Verbs,
    compute::{Instance, Node},
    identity::Project,
    meta::Meta,
    model::Seed,
    storage::{
        Attachment, StoragePool, Volume,
        assignment::{AttachmentSeen, StorageAssignment, StorageReport, VolumeSeen},
        attachment::{AttachmentStatus, NewAttachment},
        volume::VolumeStatus,
    },
};
use cirro_server::{
    Owner, OwnerContext, Plain,
    db::Migrations,
    owner::Running,
    testkit::{Actor, Actors, Backend, Scratch, Server},
};
use diesel_migrations::embed_migrations;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use uuid::Uuid;

const IDENTITY: Migrations = Migrations(embed_migrations!("../identity/migrations"));
const COMPUTE: Migrations = Migrations(embed_migrations!("../compute/migrations"));

pub(crate) struct Site {
    pub(crate) actors: Actors,
    pub(crate) server: Server,
    pub(crate) storage: Running,
    pub(crate) compute: Running,
    /// The node that has the first pool, of 100 GiB.
    pub(crate) node: Id<Node>,
    sequence: AtomicU64,
    boot: Uuid,
    _databases: [Scratch; 3],
}

impl Site {
    pub(crate) async fn new(backend: Backend) -> Self {
        let databases = [
            backend.open(cirro_storage::MIGRATIONS).await.unwrap(),
            backend.open(IDENTITY).await.unwrap(),
            backend.open(COMPUTE).await.unwrap(),
        ];
        let [storage, identity, compute] = &databases;
        let owners = vec![
            cirro_storage::service(storage.database.clone()),
            Owner::new(Service::Identity, identity.database.clone()).owns::<Project>(Plain),
            Owner::new(Service::Compute, compute.database.clone()).owns::<Instance>(Plain).owns::<Node>(Plain),
        ];
        let running: [Running; 3] = Owner::mount_together(owners).try_into().unwrap_or_else(|_| panic!("three"));
        let [storage, identity, compute] = running;
        let actors = Actors::new();
        let server = Server::start(vec![storage.clone()], &actors).await;
        for (id, name) in [(actors.project, "ours"), (actors.elsewhere, "theirs")] {
            let mut project: Project = build(id, json!({"name": name, "max_volumes": 4, "max_volume_gib": 50}));
            project.id = id;
            identity.own_context().write(move |tx| tx.insert(&project)).await.unwrap();
        }
        let mut site = Self {
            actors,
            server,
            storage,
            compute,
            node: Id::new(),
            sequence: AtomicU64::new(0),
            boot: Uuid::now_v7(),
            _databases: databases,
        };
        site.node = site.new_node("one").await;
        site.pool("first", site.node, 100).await.unwrap();
        site
    }

    pub(crate) async fn new_node(&self, name: &str) -> Id<Node> {
        let new = json!({"name": name, "vcpus": 8, "memory_mib": 8192, "disk_gib": 100});
        let node: Node = build(self.actors.project, new);
        let id = node.id;
        self.compute.own_context().write(move |tx| tx.insert(&node)).await.unwrap();
        id
    }

    pub(crate) async fn pool(&self, name: &str, node: Id<Node>, capacity: i64) -> Result<StoragePool> {
        let new = from(json!({"name": name, "node_id": node, "capacity_gib": capacity}));
        StoragePool::create(&self.actors.operator().over(&self.server), new).await.map(|created| created.model)
    }

    /// An instance of a project, on a node.
    pub(crate) async fn instance(&self, project: Id<Project>, node: Option<Id<Node>>) -> Id<Instance> {
        let name = format!("i{}", Uuid::now_v7());
        let mut instance: Instance =
            build(project, json!({"name": name, "flavor_id": Uuid::now_v7(), "image_id": Uuid::now_v7()}));
        instance.node_id = node;
        let id = instance.id;
        self.compute.own_context().write(move |tx| tx.insert(&instance)).await.unwrap();
        id
    }

    pub(crate) async fn volume(&self, actor: &Actor, name: &str, size: i64) -> Result<Volume> {
        let new = from(json!({"name": name, "size_gib": size}));
        Volume::create(&actor.over(&self.server), new).await.map(|created| created.model)
    }

    /// A volume of our project whose file its node has made.
    pub(crate) async fn available(&self, name: &str) -> Id<Volume> {
        let volume = self.volume(&self.actors.member(), name, 1).await.unwrap();
        let made = StorageReport { volumes: vec![seen(volume.id, VolumeStatus::Available)], ..self.report() };
        self.tell(volume.node_id.unwrap(), &made).await.unwrap();
        volume.id
    }

    pub(crate) async fn attach(&self, actor: &Actor, volume: Id<Volume>, instance: Id<Instance>) -> Result<Attachment> {
        let created = Attachment::create(&actor.over(&self.server), wanted(volume, instance)).await;
        created.map(|created| created.model)
    }

    pub(crate) fn service(&self) -> Context {
        self.storage.own_context()
    }

    pub(crate) async fn status(&self, volume: Id<Volume>) -> String {
        Volume::get(&self.service(), volume).await.unwrap().status.to_string()
    }

    /// How many volumes our project has, and of how many GiB, as its quota counts them.
    pub(crate) async fn used(&self) -> (i64, i64) {
        let project = self.actors.project;
        let used = |resource: &'static str| async move {
            self.service().write(move |tx| tx.used(project, resource)).await.unwrap()
        };
        (used("volumes").await, used("volume_gib").await)
    }

    /// The next report of the node, with nothing in it.
    pub(crate) fn report(&self) -> StorageReport {
        StorageReport {
            boot_id: self.boot,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            volumes: vec![],
            volumes_gone: vec![],
            attachments: vec![],
            detached: vec![],
            files: None,
        }
    }

    /// Sends a report as this node.
    pub(crate) async fn tell(&self, node: Id<Node>, report: &StorageReport) -> Result<()> {
        self.tell_as(&self.actors.node_of(node), node, report).await
    }

    pub(crate) async fn tell_as(&self, actor: &Actor, node: Id<Node>, report: &StorageReport) -> Result<()> {
        let (ctx, path) = (actor.over(&self.server), format!("/storage/v1/nodereport/{node}"));
        let body = serde_json::to_vec(report).unwrap().into();
        let answer = self.server.http.answer(&ctx, "POST", &path, Some(body), &[]).await?;
        if answer.status == 204 { Ok(()) } else { Err(answer.error()) }
    }

    /// What a node should have.
    pub(crate) async fn assignment(&self, node: Id<Node>) -> StorageAssignment {
        self.asked(&self.actors.node_of(node), node, "").await.unwrap()
    }

    pub(crate) async fn asked(&self, actor: &Actor, node: Id<Node>, query: &str) -> Result<StorageAssignment> {
        let path = format!("/storage/v1/nodeassignment/{node}{query}");
        self.server.http.json(&actor.over(&self.server), "GET", &path, None::<&()>).await
    }

    /// Marks an instance as being deleted, as compute does.
    pub(crate) async fn begin_delete(&self, instance: Id<Instance>) {
        let service = self.compute.own_context();
        let marked = service
            .write(move |tx| tx.begin_delete::<Instance>(instance, |row| row.meta.deleted_at = Some(Timestamp::now())));
        marked.await.unwrap();
    }
}

pub(crate) fn seen(id: Id<Volume>, status: VolumeStatus) -> VolumeSeen {
    VolumeSeen { id, status, reason: None }
}

pub(crate) fn wanted(volume: Id<Volume>, instance: Id<Instance>) -> NewAttachment {
    from(json!({"volume_id": volume, "instance_id": instance}))
}

pub(crate) fn plugged(id: Id<Attachment>) -> AttachmentSeen {
    AttachmentSeen { id, status: AttachmentStatus::Attached, reason: None, device: Some("vdb".to_owned()) }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn build<M: Model>(project: Id<Project>, new: Value) -> M {
    let meta = Meta::created("service:test");
    M::build(from(new), Seed { id: Uuid::now_v7(), project: Some(project), user: None, meta }).unwrap()
}

/// The sentence of a conflict.
pub(crate) fn conflict<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(Error::Conflict { detail }) => detail,
        other => panic!("no conflict: {other:?}"),
    }
}

/// Looks until the condition holds, for at most ten seconds.
pub(crate) async fn wait_until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(10), "still not so: {what}");
        tokio::task::yield_now().await;
    }
}
