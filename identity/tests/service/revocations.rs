//! What ends tokens before their time, and who hears of it.

use super::{
    elsewhere::Elsewhere,
    site::{Login, Site, id, key, password_of},
};
use cirro_server::{
    testkit::{Backend, eventually},
    token::{Verifier, follow},
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

async fn revoke(site: &Site, by: &Login, subject: &str) -> cirro_server::testkit::Told {
    site.call(by, "POST", "revocation", json!({"subject": subject})).await
}

#[tokio::test]
async fn one_token_ends_alone() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let home = site.project_id("default").await;
        let second = site.login("ann", &password_of("ann"), None).await;
        let (name, secret) = site.key(&ann.login, "ci", "viewer", &home).await;
        let script = site.login(&name, &secret, None).await;
        for ended in [&second, &script] {
            assert_eq!(site.call(ended, "DELETE", "token/this", Value::Null).await.status, 204);
            assert!(!site.is_good(ended).await);
        }
        assert!(site.is_good(&ann.login).await, "another token of the same person");
        let renewed = Login::of(site.renew(&second.refresh).await.good());
        assert!(site.is_good(&renewed).await, "only the token was ended");

        // an operator knows it by its id
        let name = format!("token:{}", ann.login.claims()["jti"].as_str().unwrap());
        revoke(&site, &site.operator().await, &name).await.good();
        assert!(!site.is_good(&ann.login).await);
        assert!(site.is_good(&renewed).await);
    }
}

#[tokio::test]
async fn an_operator_ends_all_that_somebody_holds() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let ben = site.person("ben", "member", "default").await;
        let operator = site.operator().await;
        let home = site.project_id("default").await;
        let (name, secret) = site.key(&ann.login, "ci", "viewer", &home).await;
        let script = site.login(&name, &secret, None).await;
        revoke(&site, &operator, &format!("user:{}", ann.id)).await.good();
        for login in [&ann.login, &script] {
            assert!(!site.is_good(login).await);
        }
        site.renew(&ann.login.refresh).await.problem(401);
        assert!(site.is_good(&ben.login).await);
        let again = site.login("ann", &password_of("ann"), None).await;
        assert!(site.is_good(&again).await, "what is made later is good");
        let known = site.call(&operator, "GET", "revocation", Value::Null).await.good();
        assert_eq!(known["items"][0]["subject"], format!("user:{}", ann.id));
    }
}

#[tokio::test]
async fn only_operators_revoke_by_name_and_only_what_can_hold_tokens() {
    let site = Site::new(Backend::Sqlite).await;
    let ann = site.person("ann", "admin", "default").await;
    let operator = site.operator().await;
    revoke(&site, &ann.login, &format!("user:{}", ann.id)).await.problem(403);
    assert_eq!(site.call(&ann.login, "GET", "revocation", Value::Null).await.good()["items"], json!([]));
    let upper = format!("user:{}", ann.id.to_uppercase());
    for subject in ["", "ann", "user:ann", "service:compute", "bearer", "token:x", "user:", &upper] {
        let problem = revoke(&site, &operator, subject).await.problem(422);
        assert_eq!(problem.field.as_deref(), Some("subject"), "{subject}");
    }
    assert!(site.is_good(&ann.login).await);
    let home = site.project_id("default").await;
    let made = site.call(&operator, "POST", "apikey", key("ci", "admin", &home)).await.good();
    let script = site.login(&id(&made), made["secret"].as_str().unwrap(), None).await;
    revoke(&site, &script, &format!("user:{}", ann.id)).await.problem(403);
}

#[tokio::test]
async fn another_process_hears_of_what_was_revoked_before_and_after_it_started() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let ben = site.person("ben", "member", "default").await;
        let cleo = site.person("cleo", "member", "default").await;
        site.call(&ann.login, "DELETE", "token", Value::Null).await;
        let other = Elsewhere::start(&site, &site.compute).await;
        eventually("what was revoked before is known", async || {
            (other.status(&ann.login, "GET", "instance").await == 401).then_some(())
        })
        .await;
        // remembered as good, and refused all the same
        assert_eq!(other.status(&ben.login, "GET", "instance").await, 200);
        site.call(&ben.login, "DELETE", "token", Value::Null).await;
        eventually("what is revoked later is known", async || {
            (other.status(&ben.login, "GET", "instance").await == 401).then_some(())
        })
        .await;
        assert_eq!(other.status(&cleo.login, "GET", "instance").await, 200);
        assert_eq!(other.verifier.revocations(), 2);
    }
}

#[tokio::test]
async fn a_service_in_the_same_process_follows_the_mounted_owner() {
    let site = Site::new(Backend::Sqlite).await;
    let ann = site.person("ann", "member", "default").await;
    let verifier = Arc::new(Verifier::default());
    let compute = site.compute.clone();
    let follows = tokio::spawn(follow(verifier.clone(), move || compute.own_context()));
    eventually("it follows", async || verifier.require_fresh().ok()).await;
    eventually("it knows the key", async || verifier.verify(&ann.login.token).ok()).await;
    site.call(&ann.login, "DELETE", "token", Value::Null).await;
    eventually("it hears", async || verifier.verify(&ann.login.token).is_err().then_some(())).await;
    follows.abort();
}

#[tokio::test]
async fn a_service_that_lost_identity_answers_reads_and_refuses_changes_until_it_is_back() {
    let site = Site::new(Backend::Sqlite).await;
    let ann = site.person("ann", "member", "default").await;
    let other = Elsewhere::start(&site, &site.compute).await;
    let change = async || other.status(&ann.login, "POST", "instance").await;
    eventually("it takes changes", async || (change().await == 422).then_some(())).await;

    other.way.broken.store(true, Ordering::Release);
    // the look that is under way may still be answered, and then no other is
    other.verifier.clock().advance(Duration::from_secs(61));
    eventually("changes are refused", async || (change().await == 503).then_some(())).await;
    for (method, path) in [("GET", "instance"), ("POST", "instance/batch"), ("GET", "change?model=instance")] {
        assert_eq!(other.status(&ann.login, method, path).await, 200, "{method} {path}");
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        assert_eq!(other.status(&ann.login, method, &format!("instance/{}", ann.id)).await, 503, "{method}");
    }
    // meanwhile somebody's tokens end, which is heard of later
    site.call(&ann.login, "DELETE", "token", Value::Null).await;
    assert_eq!(other.status(&ann.login, "GET", "instance").await, 200);
    other.way.broken.store(false, Ordering::Release);
    eventually("it has heard", async || (change().await == 401).then_some(())).await;
    let ben = site.person("ben", "member", "default").await;
    // what was heard first may be the answer to a question from before the clock was set
    eventually("it takes changes again", async || {
        (other.status(&ben.login, "POST", "instance").await == 422).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_revocation_goes_when_nothing_is_left_that_it_could_end() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        site.call(&ann.login, "DELETE", "token", Value::Null).await;
        let rows = async || {
            let listed = site.call(&site.operator().await, "GET", "revocation", Value::Null).await.good();
            (listed["items"].as_array().unwrap().len(), site.verifier.revocations())
        };
        let clock = site.verifier.clock();
        clock.advance(Duration::from_secs(600));
        cirro_identity::tasks::step(&site.identity.own_context()).await.unwrap();
        assert_eq!(rows().await, (1, 1));
        clock.advance(Duration::from_secs(61));
        cirro_identity::tasks::step(&site.identity.own_context()).await.unwrap();
        site.verifier.revoke("user:somebody", clock.now());
        assert_eq!(rows().await, (0, 1), "and from memory, but for the newest");
    }
}
