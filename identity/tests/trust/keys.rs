//! API keys that are shown to a service in a process of its own, which exchanges them at identity over mutual TLS.

use super::{
    secure::{Secure, ask},
    site::{id, key},
};
use async_trait::async_trait;
use cirro_client::{Http, Next};
use cirro_models::{
    Context, Error, Id, Result, Service, SiteRole, Timestamp, Verbs,
    compute::Instance,
    events::Event,
    identity::{Project, Secret},
    remote::{Answer, Call, Transport},
};
use cirro_server::{
    Controller, Owner,
    db::Migrations,
    testkit::{Backend, Scratch, Server, eventually},
    token::{Verifier, follow},
};
use diesel_migrations::embed_migrations;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const COMPUTE: Migrations = Migrations(embed_migrations!("../compute/migrations"));
const INSTANCES: &str = "/compute/v1/instance";
const TOKEN: &str = "POST /identity/v1/token";

/// Asks identity in the caller's name before it tells.
struct Asks;

#[async_trait]
impl Controller<Instance> for Asks {
    async fn get_many(&self, ctx: &Context, _: &[Id<Instance>]) -> Result<Vec<Instance>> {
        Project::get(ctx, ctx.project()?).await?;
        Ok(Vec::new())
    }
    fn remembers(&self) -> bool {
        false
    }
}

/// The way to identity, which may be broken.
struct Way {
    http: Arc<Http>,
    broken: AtomicBool,
}

#[async_trait]
impl Transport for Way {
    async fn send(&self, ctx: &Context, call: Call) -> Result<Answer> {
        if self.broken.load(Ordering::Acquire) {
            return Err(Error::unavailable("the way is broken"));
        }
        Transport::send(&*self.http, ctx, call).await
    }
}

/// A compute process.
struct Compute {
    server: Server,
    verifier: Arc<Verifier>,
    way: Arc<Way>,
    bus: Arc<Http>,
    follows: tokio::task::JoinHandle<()>,
    _scratch: Scratch,
}

impl Compute {
    async fn start(secure: &Secure) -> Self {
        let role = SiteRole::Service(Service::Compute);
        let shown = secure.credential(role);
        let way = Arc::new(Way { http: secure.peer(&shown), broken: AtomicBool::new(false) });
        let scratch = Backend::Sqlite.open(COMPUTE).await.unwrap();
        let owner = Owner::new(Service::Compute, scratch.database.clone()).owns::<Instance>(Asks);
        let running = owner.alone(way.clone());
        let verifier = Arc::new(Verifier::default());
        let (follower, own) = (verifier.clone(), running.clone());
        let follows = tokio::spawn(async move { follow(follower, || own.own_context()).await });
        eventually("it knows whom to trust", async || {
            (verifier.knows_keys() && verifier.require_fresh().is_ok()).then_some(())
        })
        .await;
        let server = Server::start_tls(vec![running], &verifier, &shown).await;
        let bus = server.peer(&secure.credential(SiteRole::Bus), role);
        Self { server, verifier, way, bus, follows, _scratch: scratch }
    }
    async fn call(&self, key: &str, from: &str, method: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("x-cirro-client", from)];
        ask(&self.bus, method, path, "", &headers).await.unwrap()
    }
    async fn status(&self, key: &str, path: &str) -> u16 {
        self.call(key, "10.1.2.3", "GET", path).await.status
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        self.follows.abort();
    }
}

fn count(secure: &Secure, request: &str) -> usize {
    secure.server.requests().iter().filter(|asked| asked.starts_with(request)).count()
}

fn made_up() -> String {
    format!("cirro_key_{}_{}", uuid::Uuid::now_v7(), "x".repeat(32))
}

#[tokio::test]
async fn a_key_is_exchanged_once_and_its_token_is_handed_on_and_followed() {
    for backend in Backend::BOTH {
        let secure = Secure::start(backend).await;
        let compute = Compute::start(&secure).await;
        let site = &secure.site;
        let home = site.project_id("default").await;
        let ann = site.person("ann", "member", "default").await;
        let (name, secret) = site.key(&ann.login, "ci", "viewer", &home).await;
        let statuses = join_all((0..20).map(|_| compute.status(&secret, INSTANCES))).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        assert_eq!(count(&secure, TOKEN), 1, "twenty that came together, and what came later");
        // the controller's own call has the token, and no other exchange
        let path = format!("{INSTANCES}/{}", Id::<Instance>::new());
        assert_eq!(compute.status(&secret, &path).await, 404);
        assert_eq!((count(&secure, &format!("GET /identity/v1/project/{home}")), count(&secure, TOKEN)), (1, 1));
        assert!(
            compute.server.requests().iter().chain(&secure.server.requests()).all(|line| !line.contains("cirro_key"))
        );

        // a socket, too, which says when the token ends
        let ctx = cirro_client::context(compute.server.http.clone(), Some(Secret::new(secret.clone())));
        let mut events = compute.server.http.events(&ctx, Service::Compute, &[], None).await.unwrap();
        let Next::Event(Event::Begun { expires_at, .. }) = events.next().await.unwrap() else { panic!("it begins") };
        assert!(expires_at.unwrap() <= Timestamp::now().plus_seconds(600));

        // what ends a key's tokens ends them here, and the key with them if it was that which went
        site.call(&ann.login, "DELETE", &format!("apikey/{name}"), Value::Null).await;
        eventually("it hears", async || (compute.status(&secret, INSTANCES).await == 401).then_some(())).await;
        assert!(matches!(events_end(&mut events).await, Next::Ended(_)));
    }
}

async fn events_end(events: &mut cirro_client::Events) -> Next {
    loop {
        match events.next().await.unwrap() {
            Next::Event(_) => {}
            ended @ Next::Ended(_) => return ended,
        }
    }
}

#[tokio::test]
async fn a_token_is_got_anew_shortly_before_its_end_and_when_rights_have_changed() {
    let secure = Secure::start(Backend::Sqlite).await;
    let compute = Compute::start(&secure).await;
    let site = &secure.site;
    let home = site.project_id("default").await;
    let ann = site.person("ann", "member", "default").await;
    let (_, secret) = site.key(&ann.login, "ci", "member", &home).await;
    assert_eq!(compute.status(&secret, INSTANCES).await, 200);
    for verifier in [&compute.verifier, &site.verifier] {
        verifier.clock().advance(Duration::from_secs(560));
    }
    assert_eq!((compute.status(&secret, INSTANCES).await, count(&secure, TOKEN)), (200, 1));
    for verifier in [&compute.verifier, &site.verifier] {
        verifier.clock().advance(Duration::from_secs(11));
    }
    assert_eq!((compute.status(&secret, INSTANCES).await, count(&secure, TOKEN)), (200, 2));

    let operator = site.operator().await;
    site.call(&operator, "DELETE", &format!("grant/{}", ann.grant), Value::Null).await.good();
    eventually("the key has no role any more", async || {
        (compute.status(&secret, INSTANCES).await == 403).then_some(())
    })
    .await;
    site.grant(&operator, &ann.id, "viewer", Some(&home)).await.good();
    compute.verifier.clock().advance(Duration::from_secs(1));
    eventually("it has one again", async || (compute.status(&secret, INSTANCES).await == 200).then_some(())).await;
}

#[tokio::test]
async fn while_identity_is_away_known_keys_are_good_and_others_are_told_to_come_again() {
    let secure = Secure::start(Backend::Sqlite).await;
    let compute = Compute::start(&secure).await;
    let site = &secure.site;
    let (home, operator) = (site.project_id("default").await, site.operator().await);
    let (_, known) = site.key(&operator, "one", "member", &home).await;
    let (_, fresh) = site.key(&operator, "two", "member", &home).await;
    assert_eq!(compute.status(&known, INSTANCES).await, 200);
    compute.way.broken.store(true, Ordering::Release);
    assert_eq!(compute.status(&known, INSTANCES).await, 200);
    let refused = compute.call(&fresh, "10.1.2.3", "GET", INSTANCES).await;
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(refused.status == 503 && text.contains("identity") && text.contains("try again"), "{text}");
    compute.way.broken.store(false, Ordering::Release);
    compute.verifier.clock().advance(Duration::from_secs(1));
    assert_eq!(compute.status(&fresh, INSTANCES).await, 200);
}

#[tokio::test]
async fn wrong_keys_make_no_flood_of_calls_and_close_the_place_where_they_were_shown_alone() {
    let secure = Secure::start(Backend::Sqlite).await;
    let compute = Compute::start(&secure).await;
    let (home, operator) = (secure.site.project_id("default").await, secure.site.operator().await);
    let (_, good) = secure.site.key(&operator, "ci", "member", &home).await;
    // one is asked for once in a second, however often it is shown
    let wrong = made_up();
    for _ in 0..20 {
        assert_eq!(compute.status(&wrong, INSTANCES).await, 401);
    }
    assert_eq!(count(&secure, TOKEN), 1);
    let show = async |compute: &Compute, from: &str| compute.call(&made_up(), from, "GET", INSTANCES).await.status;
    for _ in 0..99 {
        assert_eq!(show(&compute, "10.1.2.3").await, 401);
    }
    for _ in 0..20 {
        assert_eq!(show(&compute, "10.1.2.3").await, 429);
    }
    assert_eq!(count(&secure, TOKEN), 100, "more are not even asked for");
    assert_eq!(show(&compute, "10.1.2.4").await, 401);
    assert_eq!(compute.call(&good, "10.1.2.4", "GET", INSTANCES).await.status, 200);

    // another process has seen none of it: identity has, by the address that it is told
    let another = Compute::start(&secure).await;
    assert_eq!((show(&another, "10.1.2.3").await, show(&another, "10.1.2.4").await), (429, 401));
    // and a node shows no key
    let node = another.server.peer(&secure.credential(SiteRole::Node(Id::new())), SiteRole::Service(Service::Compute));
    let before = count(&secure, TOKEN);
    let bearer = format!("Bearer {good}");
    let told = ask(&node, "GET", INSTANCES, "", &[("authorization", &bearer)]).await.unwrap();
    assert_eq!((told.status, count(&secure, TOKEN)), (401, before));
}

#[tokio::test]
async fn a_key_that_has_expired_is_refused_by_who_holds_its_token() {
    let secure = Secure::start(Backend::Sqlite).await;
    let compute = Compute::start(&secure).await;
    let home = secure.site.project_id("default").await;
    let mut new = key("ci", "viewer", &home);
    new["expires_at"] = json!(Timestamp::now().plus_seconds(3));
    let made = secure.site.call(&secure.site.operator().await, "POST", "apikey", new).await.good();
    assert!(!id(&made).is_empty());
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(compute.status(secret, INSTANCES).await, 200);
    eventually("it ends", async || (compute.status(secret, INSTANCES).await == 401).then_some(())).await;
}
