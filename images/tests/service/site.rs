//! A site of three services, with images as the one under test.

use bytes::Bytes;
use cirro_client::Http;
use cirro_images::{
    UploadLimits,
    bytes::{ByteStore, Options},
};
use cirro_models::{
    Context, Id, Model, Result, Service, Verbs,
    compute::{Instance, Node},
    identity::{Project, Quota},
    images::MachineImage,
    meta::Meta,
    model::Seed,
    problem::Problem,
    remote::Answer,
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
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const IDENTITY: Migrations = Migrations(embed_migrations!("../identity/migrations"));
const COMPUTE: Migrations = Migrations(embed_migrations!("../compute/migrations"));

pub(crate) struct Site {
    pub(crate) actors: Actors,
    pub(crate) server: Server,
    pub(crate) images: Running,
    pub(crate) store: ByteStore,
    compute: Running,
    folder: TempDir,
    _databases: [Scratch; 3],
}

impl Site {
    pub(crate) async fn new(backend: Backend) -> Self {
        Self::with(backend, &UploadLimits::default()).await
    }

    pub(crate) async fn with(backend: Backend, limits: &UploadLimits) -> Self {
        let databases = [
            backend.open(cirro_images::MIGRATIONS).await.unwrap(),
            backend.open(IDENTITY).await.unwrap(),
            backend.open(COMPUTE).await.unwrap(),
        ];
        let folder = tempfile::tempdir().unwrap();
        let store = ByteStore::open_at(folder.path(), Options::default()).await.unwrap();
        let [images, identity, compute] = &databases;
        let owners = vec![
            cirro_images::service(images.database.clone(), store.clone(), limits),
            Owner::new(Service::Identity, identity.database.clone()).owns::<Project>(Plain),
            Owner::new(Service::Compute, compute.database.clone()).owns::<Instance>(Plain),
        ];
        let running: [Running; 3] = Owner::mount_together(owners).try_into().unwrap_or_else(|_| panic!("three"));
        let [images, identity, compute] = running;
        let actors = Actors::new();
        let server = Server::start(vec![images.clone()], &actors).await;
        // what is deferred is done until the test's runtime ends
        tokio::spawn(images.clone().tend());
        let site = Self { actors, server, images, store, compute, folder, _databases: databases };
        for (id, name) in [(site.actors.project, "ours"), (site.actors.elsewhere, "theirs")] {
            let mut project: Project = build(json!({"name": name, "max_image_gib": 1}));
            project.id = id;
            identity.own_context().write(move |tx| tx.insert(&project)).await.unwrap();
        }
        site
    }

    /// Announces an image over HTTP.
    pub(crate) async fn announce(&self, actor: &Actor, new: Value) -> MachineImage {
        let new = serde_json::from_value(new).unwrap();
        MachineImage::create(&actor.over(&self.server), new).await.unwrap().model
    }

    /// Sends bytes, with their length and these headers.
    pub(crate) async fn put(
        &self,
        actor: &Actor,
        id: Id<MachineImage>,
        bytes: &[u8],
        headers: &[(&str, &str)],
    ) -> Answer {
        let length = bytes.len().to_string();
        let headers = [&[("content-length", length.as_str())], headers].concat();
        let pieces: Vec<_> = bytes.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let stream = futures_util::stream::iter(pieces);
        let ctx = actor.over(&self.server);
        self.http().upload(&ctx, "PUT", &path(id), stream, &headers).await.unwrap()
    }

    /// Reads bytes, or a range of them.
    pub(crate) async fn read(&self, actor: &Actor, id: Id<MachineImage>, headers: &[(&str, &str)]) -> Answer {
        self.http().answer(&actor.over(&self.server), "GET", &path(id), None, headers).await.unwrap()
    }

    /// Begins an upload of so many bytes and sends these first ones of them.
    pub(crate) async fn begin(&self, actor: &Actor, id: Id<MachineImage>, length: u64, first: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.url.strip_prefix("http://").unwrap()).await.unwrap();
        let head = format!(
            "PUT {} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
            path(id),
            actor.token.expose()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream
    }

    fn http(&self) -> &Arc<Http> {
        &self.server.http
    }

    pub(crate) fn service(&self) -> Context {
        self.images.own_context()
    }

    pub(crate) async fn image(&self, id: Id<MachineImage>) -> Result<MachineImage> {
        MachineImage::get(&self.service(), id).await
    }

    /// Waits until nobody knows the image any more.
    pub(crate) async fn wait_until_gone(&self, id: Id<MachineImage>) {
        wait_until("the image is gone", async || self.image(id).await.is_err_and(|error| error.is_not_found())).await;
    }

    /// What the project's images take of its quota.
    pub(crate) async fn used(&self) -> i64 {
        let project = self.actors.project;
        self.service().write(move |tx| tx.used(project, "image_bytes")).await.unwrap()
    }

    /// What the service tells of the project's images: limit, used, reserved.
    pub(crate) async fn told(&self) -> (i64, i64, i64) {
        let path = format!("/images/v1/quota/{}", self.actors.project);
        let ctx = self.actors.viewer().over(&self.server);
        let told: Quota = self.http().json(&ctx, "GET", &path, None::<&()>).await.unwrap();
        assert_eq!(told.items.len(), 1);
        (told.items[0].limit, told.items[0].used, told.items[0].reserved)
    }

    /// Every file of the byte store.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let folders = ["objects", "partial"].map(|name| std::fs::read_dir(self.folder.path().join(name)).unwrap());
        folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    /// The folder of partial files.
    pub(crate) fn partial(&self) -> PathBuf {
        self.folder.path().join("partial")
    }

    /// Nothing is left of an upload, and the image takes another one.
    pub(crate) async fn expect_nothing_left(&self, id: Id<MachineImage>, after: &str) {
        assert_eq!(self.image(id).await.unwrap().status.to_string(), "awaiting", "{after}");
        assert_eq!(self.used().await, 0, "quota still taken after: {after}");
        assert_eq!(self.files(), Vec::<PathBuf>::new(), "files left after: {after}");
    }

    /// An instance made from the image, on a node.
    pub(crate) async fn place(&self, image: Id<MachineImage>, node: Id<Node>) {
        let any = Id::<Node>::new();
        let mut instance: Instance = build(json!({"name": "web", "flavor_id": any, "image_id": image}));
        instance.node_id = Some(node);
        self.compute.own_context().write(move |tx| tx.insert(&instance)).await.unwrap();
    }
}

pub(crate) fn build<M: Model>(new: Value) -> M {
    let seed =
        Seed { id: Id::<M>::new().uuid(), project: Some(Id::new()), user: None, meta: Meta::created("service:test") };
    M::build(serde_json::from_value(new).unwrap(), seed).unwrap()
}

pub(crate) fn path(id: Id<MachineImage>) -> String {
    format!("/images/v1/machineimage/{id}/bytes")
}

/// The problem that an answer is; its sentence is not empty and its status is that of the answer.
pub(crate) fn problem(answer: &Answer) -> Problem {
    let problem: Problem = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{} {:?} is no problem: {error}", answer.status, answer.body));
    assert_eq!(problem.status, answer.status);
    assert!(problem.detail.len() > 20 && problem.request_id.is_some(), "{problem:?}");
    problem
}

/// The whole answer on a connection, until it is closed.
pub(crate) async fn answer(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// Some bytes that are no known format, different for each seed.
pub(crate) fn noise(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n * 31 + n / 251) % 251).unwrap() ^ seed).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    openssl::sha::sha256(bytes).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).map(char::from).collect()
}

/// Looks until the condition holds, for at most ten seconds.
pub(crate) async fn wait_until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(10), "still not so: {what}");
        tokio::task::yield_now().await;
    }
}
