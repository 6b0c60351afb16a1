//! A revoked node is refused everywhere and at once, for as long as its certificate could live, until it joins again.

use super::secure::{Secure, ask, nobody, renewed, status};
use cirro_client::Credential;
use cirro_models::{
    Context, Error, Id, Service, SiteRole, Stores,
    identity::{Enrolment, EnrolmentRequest, Secret},
};
use cirro_server::{
    testkit::{Backend, Server, eventually},
    token::{Verifier, follow},
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const COMPUTE: SiteRole = SiteRole::Service(Service::Compute);

/// Compute in a process of its own, which follows identity with its own certificate.
struct Compute {
    server: Server,
    verifier: Arc<Verifier>,
    follows: tokio::task::JoinHandle<()>,
}

impl Compute {
    async fn start(secure: &Secure) -> Self {
        let shown = secure.credential(COMPUTE);
        let verifier = Arc::new(Verifier::default());
        let server = Server::start_tls(vec![secure.site.compute.clone()], &verifier, &shown).await;
        let stores = Arc::new(Stores::default().elsewhere(secure.peer(&shown)));
        let follows = tokio::spawn(follow(verifier.clone(), move || Context::client(stores.clone(), None)));
        let compute = Self { server, verifier, follows };
        let any = (Id::new(), cirro_models::Timestamp::now());
        eventually("it has heard of identity", async || compute.verifier.node(any.0, any.1).ok()).await;
        compute
    }
    async fn status(&self, node: &cirro_client::Http) -> u16 {
        ask(node, "GET", "/compute/v1/instance", "", &[]).await.unwrap().status
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        self.follows.abort();
    }
}

#[tokio::test]
async fn a_revoked_node_is_refused_everywhere_and_gets_no_other_certificate() {
    for backend in Backend::BOTH {
        let secure = Secure::start(backend).await;
        let compute = Compute::start(&secure).await;
        let node = Id::new();
        let (shown, other) = (secure.credential(SiteRole::Node(node)), secure.credential(SiteRole::Node(Id::new())));
        let open = compute.server.peer(&shown, COMPUTE);
        let others = compute.server.peer(&other, COMPUTE);
        assert_eq!((compute.status(&open).await, compute.status(&others).await), (200, 200));
        secure.revoke(node).await;
        let began = Instant::now();
        eventually("the open connection is refused", async || (compute.status(&open).await == 401).then_some(())).await;
        println!("{backend:?}: another process refused the revoked node after {:?}", began.elapsed());
        assert_eq!(compute.status(&others).await, 200, "another node goes on");
        let here = secure.peer(&shown);
        assert_eq!(status(&here, &[]).await, 401);
        let refused = renewed(&here, &shown).await.unwrap_err();
        assert!(matches!(&refused, Error::Unauthenticated { detail } if detail.contains("join")), "{refused:?}");
        // a process that starts later knows it too
        let later = Compute::start(&secure).await;
        assert_eq!(later.status(&later.server.peer(&shown, COMPUTE)).await, 401);
    }
}

#[tokio::test]
async fn what_ends_a_certificate_is_kept_as_long_as_that_and_is_not_in_the_way_of_what_goes_earlier() {
    for backend in Backend::BOTH {
        let secure = Secure::start(backend).await;
        let (site, node) = (&secure.site, Id::new());
        secure.revoke(node).await;
        let ann = site.person("ann", "member", "default").await;
        site.call(&ann.login, "DELETE", "token", Value::Null).await;
        let rows = async || {
            cirro_identity::tasks::step(&site.identity.own_context()).await.unwrap();
            let listed = site.call(&site.operator().await, "GET", "revocation", Value::Null).await.good();
            listed["items"].as_array().unwrap().iter().map(|row| row["subject"].clone()).collect::<Vec<Value>>()
        };
        assert_eq!(rows().await.len(), 2);
        let clock = site.verifier.clock();
        clock.advance(Duration::from_secs(661));
        assert_eq!(rows().await, [json!(format!("node:{node}"))], "the younger one goes first");
        clock.advance(Duration::from_secs(30 * 86_400 - 661));
        assert_eq!(rows().await.len(), 1);
        clock.advance(Duration::from_secs(61));
        assert_eq!(rows().await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn a_revoked_node_joins_again_with_a_fresh_token() {
    for backend in Backend::BOTH {
        let secure = Secure::start(backend).await;
        let site = &secure.site;
        let operator = site.operator().await;
        let token = async |new: Value| {
            let made = site.call(&operator, "POST", "jointoken", new).await.good();
            Secret::new(made["secret"].as_str().unwrap())
        };
        let join = async |secret: &Secret, key: &Credential| {
            let asked = EnrolmentRequest {
                secret: secret.clone(),
                request: key.request().unwrap(),
                name: "host".parse().unwrap(),
                vcpus: cirro_models::Vcpus::new(4),
                memory_mib: cirro_models::MiB::new(1024),
                disk_gib: cirro_models::GiB::new(10),
            };
            let http = &secure.server.http;
            http.json::<Enrolment>(&nobody(), "POST", "/identity/v1/enrolment", Some(&asked)).await.unwrap()
        };
        // any key will do for a machine; what else is in this credential counts for nothing
        let key = secure.credential(SiteRole::Bus);
        let first = token(json!({})).await;
        let told = join(&first, &key).await;
        let held = key.renewed(told.certificate.as_bytes()).unwrap();
        assert_eq!(status(&secure.peer(&held), &[]).await, 200);
        secure.revoke(told.node_id).await;
        assert_eq!(status(&secure.peer(&held), &[]).await, 401);
        // the used token gives what it gave before, which has ended
        let again = join(&first, &key).await;
        assert_eq!(again, told);

        let fresh = join(&token(json!({"node_id": told.node_id})).await, &key).await;
        assert_eq!(fresh.node_id, told.node_id);
        let fresh = key.renewed(fresh.certificate.as_bytes()).unwrap();
        assert_eq!(status(&secure.peer(&fresh), &[]).await, 200, "made after the revocation, and so good");
        assert_eq!(status(&secure.peer(&held), &[]).await, 401);
    }
}
