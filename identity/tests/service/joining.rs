//! Machines that become nodes: once for each join token, whatever breaks on the way, and with no more than was approved.

use super::site::{Login, Site, id};
use async_trait::async_trait;
use cirro_client::credential::{new_key, request, role_of};
use cirro_models::{
    Context, Created, Error, Model, Page, Result, SiteRole, Verbs,
    compute::{
        Node,
        node::{NodeFilter, NodeMode},
    },
    identity::JoinSecret,
    sql::Table,
    storage::{StoragePool, storage_pool::StoragePoolFilter},
};
use cirro_server::{
    Controller, Owner, Plain,
    owner::Running,
    testkit::{Actors, Backend, Server, Told},
    token::Verifier,
};
use futures_util::future::join_all;
use openssl::x509::X509;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// A certificate request with a key of its own.
fn machine() -> String {
    request(&new_key().unwrap()).unwrap()
}

/// The secret of a new join token.
async fn token(site: &Site, by: &Login, new: Value) -> String {
    let made = site.call(by, "POST", "jointoken", new).await.good();
    made["secret"].as_str().unwrap().to_owned()
}

async fn enrol(site: &Site, secret: &str, request: &str, name: &str) -> Told {
    let body =
        json!({"secret": secret, "request": request, "name": name, "vcpus": 64, "memory_mib": 65536, "disk_gib": 500});
    site.server.send("POST", "/identity/v1/enrolment", &[], body.to_string()).await
}

async fn rows<M: Model>(owner: &Running, filter: M::Filter) -> Vec<M> {
    M::list(&owner.own_context(), &filter, &Page::first(1000)).await.unwrap().items
}

async fn nodes(site: &Site) -> Vec<Node> {
    rows::<Node>(&site.compute, NodeFilter::default()).await
}

async fn pools(site: &Site) -> Vec<StoragePool> {
    rows::<StoragePool>(&site.storage, StoragePoolFilter::default()).await
}

#[tokio::test]
async fn a_machine_becomes_a_node_with_what_was_approved_of_it() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.operator().await;
        let secret = token(&site, &operator, json!({"vcpus": 8, "disk_gib": 100})).await;
        let told = enrol(&site, &secret, &machine(), "host7").await.good();
        let (all, pool) = (nodes(&site).await, pools(&site).await);
        let node = &all[0];
        assert_eq!((all.len(), node.name.as_str(), &node.mode), (1, "host7", &NodeMode::Active));
        assert_eq!((node.vcpus.get(), node.memory_mib.get(), node.disk_gib.get()), (8, 65536, 100));
        assert_eq!((pool.len(), pool[0].node_id, pool[0].capacity_gib.get()), (1, node.id, 100));
        assert_eq!(told["node_id"], node.id.to_string());
        let made = X509::from_pem(told["certificate"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(role_of(&made), Some(("lab".parse().unwrap(), SiteRole::Node(node.id))));
        assert_eq!(told["authority"].as_str().unwrap().as_bytes(), site.authority.pem().unwrap());
        // the fingerprint is that of the authority, so that the machine knows it
        let authority = X509::from_pem(&site.authority.pem().unwrap()).unwrap();
        let read = JoinSecret::read(&secret).unwrap();
        assert_eq!(read.authority, openssl::sha::sha256(&authority.to_der().unwrap()));
        // and who looks finds what became of the token, but not its secret
        let path = format!("jointoken/{}", read.id);
        let shown = site.call(&operator, "GET", &path, Value::Null).await;
        assert_eq!(shown.good()["node_id"], node.id.to_string());
        assert!(!shown.good()["used_at"].is_null() && !shown.text.contains(read.proof.expose()));
        let audit = site.call(&operator, "GET", "auditrecord?limit=1000", Value::Null).await.text;
        assert!(audit.contains(&format!("node:{}", node.id)) && audit.contains("enrolment"), "{audit}");
    }
}

#[tokio::test]
async fn a_repetition_is_the_same_joining_and_another_machine_is_refused() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let secret = token(&site, &site.operator().await, json!({"name": "rack1"})).await;
        let own = machine();
        let first = enrol(&site, &secret, &own, "a").await.good();
        assert_eq!(enrol(&site, &secret, &own, "b").await.good(), first);
        let refused = enrol(&site, &secret, &machine(), "a").await.problem(409);
        assert!(refused.detail.contains("another machine"), "{}", refused.detail);
        let all = nodes(&site).await;
        assert_eq!((all.len(), all[0].name.as_str()), (1, "rack1"));
    }
}

#[tokio::test]
async fn of_many_at_the_same_moment_one_machine_joins_and_all_its_tries_are_answered_the_same() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let secret = token(&site, &site.operator().await, json!({})).await;
        let machines = [machine(), machine()];
        let tries = (0..16).map(|n| enrol(&site, &secret, &machines[n % 2], "host"));
        let told = join_all(tries).await;
        // as many tries as are let through at once from one address
        let good: Vec<Value> = told.iter().filter(|told| told.status == 200).map(Told::good).collect();
        assert!(!good.is_empty() && good.iter().all(|one| *one == good[0]), "{told:?}");
        assert!(told.iter().all(|told| [200, 409, 429].contains(&told.status)), "{told:?}");
        assert_eq!((nodes(&site).await.len(), pools(&site).await.len()), (1, 1));
    }
}

/// Refuses this many creations as if its service could not be reached.
struct Away(Arc<AtomicU32>);

#[async_trait]
impl<M: Table> Controller<M> for Away {
    async fn create(&self, ctx: &Context, draft: M, new: M::New) -> Result<Created<M>> {
        let left = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        if left.is_ok() {
            return Err(Error::unavailable("it can't be reached"));
        }
        Plain.create(ctx, draft, new).await
    }
}

#[tokio::test]
async fn a_joining_that_broke_off_goes_on_where_it_was() {
    for backend in Backend::BOTH {
        let [no_node, no_pool] = [(); 2].map(|()| Arc::new(AtomicU32::new(1)));
        let site = Site::with(backend, Away(no_node), Away(no_pool)).await;
        assert!(
            cirro_identity::bootstrap::first_start(&site.identity.own_context(), site.admin.clone()).await.unwrap()
        );
        let secret = token(&site, &site.operator().await, json!({})).await;
        let own = machine();
        enrol(&site, &secret, &own, "host").await.problem(503);
        assert_eq!(nodes(&site).await.len(), 0, "the token is taken, and nothing is made");
        enrol(&site, &secret, &machine(), "thief").await.problem(409);
        enrol(&site, &secret, &own, "host").await.problem(503);
        assert_eq!((nodes(&site).await.len(), pools(&site).await.len()), (1, 0), "the node is made, and no pool");
        let told = enrol(&site, &secret, &own, "other").await.good();
        assert_eq!((nodes(&site).await.len(), pools(&site).await.len()), (1, 1));
        assert_eq!(enrol(&site, &secret, &own, "host").await.good(), told, "as if the answer was lost");
    }
}

#[tokio::test]
async fn a_machine_whose_name_is_taken_comes_again_under_another() {
    let site = Site::new(Backend::Sqlite).await;
    let operator = site.operator().await;
    let (first, second) = (token(&site, &operator, json!({})).await, token(&site, &operator, json!({})).await);
    enrol(&site, &first, &machine(), "host").await.good();
    let own = machine();
    enrol(&site, &second, &own, "host").await.problem(409);
    enrol(&site, &second, &own, "host2").await.good();
    assert_eq!(nodes(&site).await.len(), 2);
}

#[tokio::test]
async fn a_node_joins_again_as_itself() {
    let site = Site::new(Backend::Sqlite).await;
    let operator = site.operator().await;
    let first = token(&site, &operator, json!({"vcpus": 2})).await;
    let node = enrol(&site, &first, &machine(), "host").await.good()["node_id"].clone();
    let refused = site.call(&operator, "POST", "jointoken", json!({"node_id": node, "vcpus": 9})).await.problem(422);
    assert_eq!(refused.field.as_deref(), Some("node_id"));
    let again = token(&site, &operator, json!({"node_id": node})).await;
    assert_eq!(enrol(&site, &again, &machine(), "other").await.good()["node_id"], node);
    let all = nodes(&site).await;
    assert_eq!((all.len(), all[0].name.as_str(), all[0].vcpus.get()), (1, "host", 2));
    let gone = token(&site, &operator, json!({"node_id": node})).await;
    let of_it = all[0].id;
    Node::delete(&site.compute.own_context(), of_it).await.unwrap();
    let refused = enrol(&site, &gone, &machine(), "host").await.problem(409);
    assert!(refused.detail.contains("was deleted"), "{}", refused.detail);
    let unknown = site.call(&operator, "POST", "jointoken", json!({"node_id": node})).await.problem(422);
    assert_eq!(unknown.field.as_deref(), Some("node_id"));
}

#[tokio::test]
async fn what_is_no_good_token_any_more_makes_nothing() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let operator = site.operator().await;
        let deleted = token(&site, &operator, json!({})).await;
        let path = format!("jointoken/{}", JoinSecret::read(&deleted).unwrap().id);
        assert_eq!(site.call(&operator, "DELETE", &path, Value::Null).await.status, 204);
        let mut forged = JoinSecret::read(&token(&site, &operator, json!({})).await).unwrap();
        forged.proof = super::site::secret(&"x".repeat(43));
        let over = token(&site, &operator, json!({})).await;
        for bad in [deleted.as_str(), forged.text().expose(), "12345678"] {
            let problem = enrol(&site, bad, &machine(), "host").await.problem(401);
            assert!(problem.detail.contains("join-token"), "{}", problem.detail);
        }
        site.verifier.clock().advance(Duration::from_secs(3601));
        enrol(&site, &over, &machine(), "host").await.problem(401);
        assert_eq!(nodes(&site).await.len(), 0);
    }
}

#[tokio::test]
async fn guesses_are_limited() {
    let site = Site::new(Backend::Sqlite).await;
    let secret = token(&site, &site.operator().await, json!({})).await;
    let mut forged = JoinSecret::read(&secret).unwrap();
    forged.proof = super::site::secret(&"x".repeat(43));
    for _ in 0..10 {
        enrol(&site, forged.text().expose(), &machine(), "host").await.problem(401);
    }
    enrol(&site, forged.text().expose(), &machine(), "host").await.problem(429);
}

#[tokio::test]
async fn tokens_are_for_operators_and_for_a_day_at_most_and_bad_requests_spend_none() {
    let site = Site::new(Backend::Sqlite).await;
    let (ann, operator) = (site.person("ann", "admin", "default").await, site.operator().await);
    site.call(&ann.login, "POST", "jointoken", json!({})).await.problem(403);
    let late = cirro_models::Timestamp::now().plus_seconds(25 * 3600);
    let problem = site.call(&operator, "POST", "jointoken", json!({"expires_at": late})).await.problem(422);
    assert_eq!(problem.field.as_deref(), Some("expires_at"));
    let secret = token(&site, &operator, json!({})).await;
    for bad in ["", "x", &"x".repeat(9000)] {
        assert_eq!(enrol(&site, &secret, bad, "host").await.problem(422).field.as_deref(), Some("request"));
    }
    enrol(&site, &secret, &machine(), "host").await.good();
}

#[tokio::test]
async fn a_token_is_shown_for_a_day_after_its_end() {
    let site = Site::new(Backend::Sqlite).await;
    let operator = site.operator().await;
    let made = site.call(&operator, "POST", "jointoken", json!({})).await.good();
    let held =
        async || site.call(&site.operator().await, "GET", "jointoken", Value::Null).await.good()["items"].clone();
    site.verifier.clock().advance(Duration::from_secs(24 * 3600));
    cirro_identity::tasks::step(&site.identity.own_context()).await.unwrap();
    assert_eq!(held().await[0]["id"], id(&made));
    site.verifier.clock().advance(Duration::from_secs(2 * 3600));
    cirro_identity::tasks::step(&site.identity.own_context()).await.unwrap();
    assert_eq!(held().await, json!([]));
}

#[tokio::test]
async fn a_site_of_one_process_says_that_nobody_can_join_it() {
    let scratch = Backend::Sqlite.open(cirro_identity::MIGRATIONS).await.unwrap();
    let verifier = Arc::new(Verifier::default());
    let owner = cirro_identity::service(scratch.database.clone(), verifier, None).await.unwrap();
    let running = Owner::mount_together(vec![owner]).remove(0);
    let actors = Actors::new();
    let server = Server::start(vec![running], &actors).await;
    let secret = JoinSecret {
        site: "lab".parse().unwrap(),
        authority: [0; 32],
        id: cirro_models::Id::new(),
        proof: super::site::secret(&"x".repeat(43)),
    };
    let body =
        json!({"secret": secret.text(), "request": machine(), "name": "a", "vcpus": 1, "memory_mib": 1, "disk_gib": 1});
    let problems = [
        server.send("POST", "/identity/v1/enrolment", &[], body.to_string()).await.problem(409),
        server.send("GET", "/identity/v1/authority", &[], "").await.problem(409),
        server.call(Some(&actors.operator()), "POST", "/identity/v1/jointoken", Some(&json!({}))).await.problem(409),
    ];
    assert!(problems.iter().all(|problem| problem.detail.contains("one process")), "{problems:?}");
}
