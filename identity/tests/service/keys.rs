//! Keys that sign tokens follow each other without anybody noticing; one that is taken away ends what it signed.

use super::{
    elsewhere::Elsewhere,
    site::{Login, Site},
};
use cirro_identity::keys::{AHEAD_S, SIGNS_S};
use cirro_server::{
    testkit::{Backend, eventually},
    token::LIFETIME_S,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The name of the key that signed this token.
fn key_of(login: &Login) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    let header = B64.decode(login.token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// The names of the published keys.
async fn published(site: &Site) -> Vec<String> {
    let keys = site.server.send("GET", "/identity/v1/jwks", &[], "").await.good();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn pass(site: &Site, seconds: i64) {
    site.verifier.clock().advance(Duration::from_secs(u64::try_from(seconds).unwrap()));
    cirro_identity::tasks::step(&site.identity.own_context()).await.unwrap();
}

#[tokio::test]
async fn the_next_key_is_published_before_it_signs_and_the_last_one_until_its_tokens_have_expired() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let first = key_of(&site.operator().await);
        pass(&site, SIGNS_S - AHEAD_S - 60).await;
        assert_eq!(published(&site).await, *std::slice::from_ref(&first));
        pass(&site, 120).await;
        let both = published(&site).await;
        assert_eq!((both.len(), &both[0]), (2, &first));
        assert_eq!(key_of(&site.operator().await), first, "the next one is only published yet");

        pass(&site, AHEAD_S - 120).await;
        let last = site.operator().await;
        assert_eq!(key_of(&last), first);
        pass(&site, 120).await;
        let next = site.operator().await;
        assert_eq!(key_of(&next), both[1]);
        assert!(site.is_good(&last).await && site.is_good(&next).await);
        pass(&site, LIFETIME_S).await;
        assert_eq!(published(&site).await, both[1..]);
    }
}

#[tokio::test]
async fn an_operator_rotates_at_once_and_nobody_notices() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let other = Elsewhere::start(&site, &site.compute).await;
        let (operator, ann) = (site.operator().await, site.person("ann", "admin", "default").await);
        site.call(&ann.login, "POST", "tokenkey", json!({})).await.problem(403);
        let made = site.call(&operator, "POST", "tokenkey", json!({})).await.good();
        assert!(made.get("secret").is_none());
        let after = site.login("ann", "ann's password", None).await;
        assert_eq!(key_of(&after), made["kid"].as_str().unwrap());
        assert_ne!(key_of(&ann.login), key_of(&after));
        for login in [&ann.login, &after] {
            assert!(site.is_good(login).await);
            // the very first time, though the other process may not have heard of the key
            assert_eq!(other.status(login, "GET", "instance").await, 200);
        }
        // more than a few at once are refused: their tokens would be nobody's
        let mut answers = Vec::new();
        for _ in 0..8 {
            answers.push(site.call(&operator, "POST", "tokenkey", json!({})).await);
        }
        let refused = answers.pop().unwrap();
        assert!(refused.problem(429).retry_after_s.is_some());
        assert!(site.is_good(&ann.login).await);
    }
}

#[tokio::test]
async fn what_a_retired_key_has_signed_is_refused_everywhere() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let other = Elsewhere::start(&site, &site.compute).await;
        let ann = site.person("ann", "member", "default").await;
        assert_eq!(other.status(&ann.login, "GET", "instance").await, 200);
        let operator = site.operator().await;
        let keys = site.call(&operator, "GET", "tokenkey", Value::Null).await.good();
        let path = format!("tokenkey/{}", super::site::id(&keys["items"][0]));
        site.call(&ann.login, "DELETE", &path, Value::Null).await.problem(403);
        assert_eq!(site.call(&operator, "DELETE", &path, Value::Null).await.status, 204);
        for login in [&operator, &ann.login] {
            assert!(!site.is_good(login).await);
        }
        // it had shown a token of that key itself; a certificate would stay good
        other.shows(&site.operator().await);
        eventually("the other process has heard", async || {
            (other.status(&ann.login, "GET", "instance").await == 401).then_some(())
        })
        .await;
        // another key has taken its place, and a refresh needs no key
        let renewed = Login::of(site.renew(&ann.login.refresh).await.good());
        assert!(site.is_good(&renewed).await);
        assert_eq!(other.status(&renewed, "GET", "instance").await, 200);
    }
}
