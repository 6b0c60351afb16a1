//! A machine that joins, and everything that its certificate does not open.

use super::apart::Apart;
use cirro_client::{Credential, Http};
use cirro_models::{
    Context, Error, GiB, Id, Labels, MiB, Page, Service, SiteRole, Stores, Vcpus, Verbs,
    compute::{
        Flavor, Instance, Node,
        flavor::NewFlavor,
        instance::{InstanceStatus, NewInstance},
        node::{NodeFilter, NodeStatus},
    },
    identity::{JoinToken, Revocation, Secret, join_token::NewJoinToken, revocation::NewRevocation},
    images::{MachineImage, machine_image::NewMachineImage},
    storage::{StoragePool, storage_pool::StoragePoolFilter},
};
use cirro_node_agent_core::{
    agent::{Agent, Settings},
    control_plane::ControlPlane,
    http::HttpControlPlane,
    join::join,
    machine::Capacity,
    simulated::{Knobs, Simulated},
};
use cirro_server::testkit::{document, eventually, operations};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::watch;

const CAPACITY: Capacity = Capacity { vcpus: Vcpus::new(8), memory_mib: MiB::new(8192), disk_gib: GiB::new(100) };

async fn token(operator: &Context, node: Option<Id<Node>>) -> Secret {
    let new = NewJoinToken {
        name: None,
        node_id: node,
        vcpus: None,
        memory_mib: None,
        disk_gib: None,
        expires_at: None,
        labels: Labels::default(),
    };
    JoinToken::create(operator, new).await.unwrap().once["secret"].clone()
}

/// A machine that has joined, with its folder's credential.
async fn joined(site: &Apart, operator: &Context, name: &str, folder: &Path) -> (Id<Node>, Credential) {
    let secret = token(operator, None).await;
    let node = join(&site.url, &secret, name.parse().unwrap(), CAPACITY, folder).await.unwrap();
    (node, Credential::load(folder).unwrap())
}

fn control_plane(site: &Apart, credential: &Credential, folder: &Path) -> HttpControlPlane {
    HttpControlPlane::certified(&site.url, credential.clone(), folder.to_owned()).unwrap().0
}

/// Runs the agent of a node, over a machine without guests, until this is dropped.
fn agent(plane: HttpControlPlane) -> watch::Sender<()> {
    let (end, mut ended) = watch::channel(());
    let stop = async move { drop(ended.changed().await) };
    let machine = Arc::new(Simulated::new(Knobs::default()));
    tokio::spawn(Agent::new(Arc::new(plane), machine, Settings::default()).run(stop));
    end
}

/// An instance of a new image, running on the only node that reports.
async fn launched(operator: &Context, http: &Http, name: &str) -> Instance {
    let image = NewMachineImage {
        name: name.parse().unwrap(),
        format: Some(cirro_models::images::machine_image::ImageFormat::Raw),
        public: None,
        size_bytes: Some(cirro_models::Bytes::new(1 << 20)),
        sha256: None,
        labels: Labels::default(),
    };
    let image = MachineImage::create(operator, image).await.unwrap().model.id;
    let bytes = futures_util::stream::iter([Ok(vec![7; 1 << 20].into())]);
    let path = format!("/images/v1/machineimage/{image}/bytes");
    let answer = http.upload(operator, "PUT", &path, bytes, &[]).await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.error());
    let flavor = NewFlavor {
        name: name.parse().unwrap(),
        vcpus: Vcpus::new(1),
        memory_mib: MiB::new(64),
        disk_gib: GiB::new(1),
        labels: Labels::default(),
    };
    let flavor = Flavor::create(operator, flavor).await.unwrap().model.id;
    let new = json!({"name": name, "flavor_id": flavor, "image_id": image});
    let new: NewInstance = serde_json::from_value(new).unwrap();
    let ready = NodeFilter { status: Some(NodeStatus::Ready), ..NodeFilter::default() };
    eventually("a node reports", async || Node::list(operator, &ready, &Page::first(1)).await.ok()?.items.pop()).await;
    let id = Instance::create(operator, new).await.unwrap().model.id;
    let running = |instance: &Instance| instance.status == InstanceStatus::Running;
    eventually("it runs", async || Instance::get(operator, id).await.ok().filter(running)).await
}

#[tokio::test]
async fn a_machine_joins_through_one_address_and_gets_its_orders_and_images_by_certificate() {
    let (site, folder) = (Apart::start().await, tempfile::tempdir().unwrap());
    let operator = site.operator().await;
    let (node, credential) = joined(&site, &operator, "host", folder.path()).await;
    assert_eq!(credential.role(), SiteRole::Node(node));
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "the key is in the credential alone: {files:?}");
    let row = Node::get(&operator, node).await.unwrap();
    assert_eq!((row.name.as_str(), row.vcpus, row.disk_gib), ("host", CAPACITY.vcpus, CAPACITY.disk_gib));
    let pool = StoragePoolFilter { node_id: Some(node), ..StoragePoolFilter::default() };
    assert_eq!(StoragePool::list(&operator, &pool, &Page::first(2)).await.unwrap().items.len(), 1);

    let plane = control_plane(&site, &credential, folder.path());
    let orders =
        eventually("compute believes it", async || plane.compute_assignment(None, Duration::ZERO).await.ok().flatten());
    assert_eq!(orders.await.manifest, []);
    plane.storage_assignment(None, Duration::ZERO).await.unwrap();
    let _agent = agent(control_plane(&site, &credential, folder.path()));
    let bus = site.client(&site.authority.credential(SiteRole::Bus).unwrap());
    let instance = launched(&operator, &bus, "web1").await;
    assert_eq!(instance.node_id, Some(node));
    let orders = plane.compute_assignment(None, Duration::ZERO).await.unwrap().unwrap();
    let image = orders.instances[0].image.clone();
    let file = tempfile::tempfile().unwrap();
    let mut into = tokio::fs::File::from_std(file.try_clone().unwrap());
    plane.fetch_image(&image, &mut into).await.unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1 << 20);

    // revoked, it is nobody anywhere, and a poll that is under way tells it nothing
    let since = plane.compute_assignment(None, Duration::ZERO).await.unwrap().unwrap().revision;
    let poll = plane.compute_assignment(Some(&since), Duration::from_secs(3));
    let new = NewRevocation { subject: format!("node:{node}"), labels: Labels::default() };
    let (polled, revoked) = tokio::join!(poll, Revocation::create(&operator, new));
    revoked.unwrap();
    assert!(matches!(polled, Err(Error::Unauthenticated { .. })), "{polled:?}");
    let refused = async |error: Option<Error>| matches!(error, Some(Error::Unauthenticated { .. })).then_some(());
    eventually("compute refuses it", async || {
        refused(plane.compute_assignment(None, Duration::ZERO).await.err()).await
    })
    .await;
    eventually("storage refuses it", async || {
        refused(plane.storage_assignment(None, Duration::ZERO).await.err()).await
    })
    .await;
    eventually("images refuses it", async || refused(plane.fetch_image(&image, &mut into).await.err()).await).await;
    // it comes back with a fresh token, as the node that it was
    let secret = token(&operator, Some(node)).await;
    assert_eq!(join(&site.url, &secret, "other".parse().unwrap(), CAPACITY, folder.path()).await.unwrap(), node);
    let plane = control_plane(&site, &Credential::load(folder.path()).unwrap(), folder.path());
    assert_eq!(plane.compute_assignment(None, Duration::ZERO).await.unwrap().unwrap().manifest.len(), 1);
}

#[tokio::test]
async fn a_join_token_is_shown_to_nobody_but_the_site_that_it_is_for() {
    let (site, other) = tokio::join!(Apart::start(), Apart::start());
    let folder = tempfile::tempdir().unwrap();
    let secret = token(&site.operator().await, None).await;
    let error = join(&other.url, &secret, "host".parse().unwrap(), CAPACITY, folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("was not shown to them"), "{error}");
    let asked = other.part(Service::Identity).server.requests();
    assert!(asked.iter().all(|asked| !asked.contains("enrolment")), "{asked:?}");
    // the same machine then finds the right address
    join(&site.url, &secret, "host".parse().unwrap(), CAPACITY, folder.path()).await.unwrap();
}

async fn ask(http: &Http, method: &str, path: &str, body: &str) -> (u16, String) {
    let ctx = Context::client(Arc::new(Stores::default()), None);
    let body = (!body.is_empty()).then(|| body.to_owned().into());
    let answer = http.answer(&ctx, method, path, body, &[]).await.unwrap();
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

/// What a node may do besides its own orders and reports, which are told apart by their path: what takes no proof, and
/// what names nobody.
const OPEN: [&str; 5] = ["create_token", "jwks", "site_authority", "me_user", "list_tokenkey"];

#[tokio::test]
async fn a_compromised_node_gets_and_changes_nothing_that_is_not_its_own() {
    let (site, folders) = (Apart::start().await, [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let operator = site.operator().await;
    let (theirs, of_theirs) = joined(&site, &operator, "theirs", folders[0].path()).await;
    let _agent = agent(control_plane(&site, &of_theirs, folders[0].path()));
    let bus = site.client(&site.authority.credential(SiteRole::Bus).unwrap());
    let instance = launched(&operator, &bus, "web1").await;
    let (evil, credential) = joined(&site, &operator, "evil", folders[1].path()).await;
    let http = site.client(&credential);
    let pool = StoragePoolFilter { node_id: Some(theirs), ..StoragePoolFilter::default() };
    let pool = StoragePool::list(&operator, &pool, &Page::first(1)).await.unwrap().items[0].id;
    let foreign = [
        ("instance", instance.id.to_string()),
        ("machineimage", instance.image_id.to_string()),
        ("flavor", instance.flavor_id.to_string()),
        ("project", instance.project_id.to_string()),
        ("storagepool", pool.to_string()),
        ("node", theirs.to_string()),
        ("nodeassignment", theirs.to_string()),
        ("nodereport", theirs.to_string()),
        ("nodeheartbeat", theirs.to_string()),
        ("nodelease", theirs.to_string()),
    ];
    let before = everything(&operator).await;
    let mut tried = 0;
    for part in &site.parts {
        let document = document(&part.running);
        for operation in operations(&document).into_iter().filter(|operation| !OPEN.contains(&operation.id.as_str())) {
            tried += 1;
            let model = operation.path.split('/').nth(3).unwrap();
            let unknown = uuid::Uuid::now_v7().to_string();
            let id = foreign.iter().find(|(path, _)| *path == model).map_or(&unknown, |(_, id)| id);
            let batch = operation.path.ends_with("/batch");
            let body = if batch { json!({"ids": [id]}).to_string() } else { operation.body(&document) };
            let query = if model == "change" { "?model=instance" } else { "" };
            let path = format!("{}{query}", operation.path_with(id));
            let (status, text) = ask(&http, &operation.method, &path, &body).await;
            let name = format!("{} {path}: {status} {text}", operation.method);
            if batch {
                assert!(status == 200 && text.contains("\"items\":[]"), "{name}");
                continue;
            }
            assert!(status < 500 && foreign.iter().all(|(_, id)| !leaks(&text, id, status)), "{name}");
            if operation.method != "GET" {
                // a renewal is refused for what it sends, a report of nobody's for whom it is of
                assert!([401, 403, 404, 422].contains(&status), "{name}");
            }
        }
    }
    assert!(tried > 100, "only {tried} operations were tried");
    assert_eq!(everything(&operator).await, before, "a node changed what is not its own");
    let raise = json!({"vcpus": 4096}).to_string();
    let (status, text) = ask(&http, "PATCH", &format!("/compute/v1/node/{evil}"), &raise).await;
    assert_eq!(status, 403, "{text}");
    let plane = control_plane(&site, &credential, folders[1].path());
    assert_eq!(plane.compute_assignment(None, Duration::ZERO).await.unwrap().unwrap().manifest, []);
}

/// Whether an answer tells of an id more than a refusal of it has to say.
fn leaks(text: &str, id: &str, status: u16) -> bool {
    (200..300).contains(&status) && text.contains(id)
}

/// What an operator sees of the rows that a node might want to change.
async fn everything(operator: &Context) -> Vec<Value> {
    let page = Page::first(1000);
    let rows = |rows: Result<Value, _>| rows.unwrap();
    vec![
        rows(serde_json::to_value(Node::list(operator, &NodeFilter::default(), &page).await.unwrap().items)),
        rows(serde_json::to_value(Instance::list(operator, &Default::default(), &page).await.unwrap().items)),
        rows(serde_json::to_value(MachineImage::list(operator, &Default::default(), &page).await.unwrap().items)),
        rows(serde_json::to_value(StoragePool::list(operator, &Default::default(), &page).await.unwrap().items)),
        rows(serde_json::to_value(JoinToken::list(operator, &Default::default(), &page).await.unwrap().items)),
        rows(serde_json::to_value(Revocation::list(operator, &Default::default(), &page).await.unwrap().items)),
    ]
}
