//! What a token is good for, and what ends it.

use super::site::{Login, Site, password_of};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use cirro_models::{Role, Timestamp};
use cirro_server::{
    testkit::{Actors, Backend},
    token::{Claims, SigningKey, Verifier},
};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn a_refresh_secret_is_good_once() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let next = Login::of(site.renew(&ann.login.refresh).await.good());
        assert!(site.is_good(&next).await);
        assert_ne!(next.refresh, ann.login.refresh);
        site.renew(&ann.login.refresh).await.problem(401);

        let at_once = join_all((0..8).map(|_| site.renew(&next.refresh))).await;
        let good = at_once.iter().filter(|told| told.status == 200).count();
        assert_eq!(good, 1, "{:?}", at_once.iter().map(|told| told.status).collect::<Vec<_>>());
        for nonsense in ["", "x", ".", &format!("{}.{}", ann.id, "0".repeat(32))] {
            site.renew(nonsense).await.problem(401);
        }
    }
}

#[tokio::test]
async fn logging_out_ends_everything_that_the_person_has_logged_in_with() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let ben = site.person("ben", "member", "default").await;
        let second = site.login("ann", &password_of("ann"), None).await;
        assert_eq!(site.call(&second, "DELETE", "token", Value::Null).await.status, 204);
        for login in [&ann.login, &second] {
            assert!(!site.is_good(login).await);
            site.renew(&login.refresh).await.problem(401);
        }
        assert!(site.is_good(&ben.login).await);
        let again = site.login("ann", &password_of("ann"), None).await;
        assert!(site.is_good(&again).await);
    }
}

#[tokio::test]
async fn what_was_revoked_stays_revoked_after_a_restart() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ann = site.person("ann", "member", "default").await;
        let ben = site.person("ben", "member", "default").await;
        site.call(&ann.login, "DELETE", "token", Value::Null).await;

        let restarted = Arc::new(Verifier::default());
        cirro_identity::service(site.databases[0].database.clone(), restarted.clone(), None).await.unwrap();
        assert!(restarted.verify(&ann.login.token).is_err());
        assert!(restarted.verify(&ben.login.token).is_ok(), "the key is the same");
    }
}

#[derive(QueryableByName)]
struct Kept {
    #[diesel(sql_type = Text)]
    secret: String,
}

/// The site's own signing key, as only its database has it.
async fn own_key(site: &Site) -> SigningKey {
    // the only one of a new site
    let read = |c: &mut _| Ok(sql_query("SELECT secret FROM signing_key").get_result::<Kept>(c).unwrap().secret);
    let kept = site.databases[0].database.read(read).await.unwrap();
    SigningKey::from_bytes(&base64::engine::general_purpose::STANDARD.decode(kept).unwrap()).unwrap()
}

#[tokio::test]
async fn tokens_that_are_forged_expired_or_unsigned_are_refused() {
    let site = Site::new(Backend::Sqlite).await;
    let ann = site.person("ann", "member", "default").await;
    let claims: Claims = serde_json::from_value(ann.login.claims()).unwrap();
    let key = own_key(&site).await;
    let with = |change: &dyn Fn(&mut Claims)| {
        let mut claims = claims.clone();
        change(&mut claims);
        key.sign(&claims).unwrap()
    };
    let now = Timestamp::now().micros() / 1_000_000;
    let parts: Vec<&str> = ann.login.token.split('.').collect();
    let header = |value: Value| B64.encode(value.to_string());
    let kid = key.jwk().unwrap().kid;
    let public = B64.decode(key.jwk().unwrap().x).unwrap();
    let hmac = {
        let text = format!("{}.{}", header(json!({"alg": "HS256", "typ": "JWT", "kid": kid})), parts[1]);
        let secret = openssl::pkey::PKey::hmac(&public).unwrap();
        let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &secret).unwrap();
        signer.update(text.as_bytes()).unwrap();
        format!("{text}.{}", B64.encode(signer.sign_to_vec().unwrap()))
    };
    let raised = {
        let mut claims = claims.clone();
        (claims.operator, claims.role) = (true, Some(Role::Admin));
        format!("{}.{}.{}", parts[0], B64.encode(serde_json::to_vec(&claims).unwrap()), parts[2])
    };
    assert!(site.is_good(&login(&with(&|_| ()))).await, "a good one has to pass, or nothing here is shown");
    for (why, token) in [
        ("signed by somebody else", Actors::new().sign(claims.clone()).token.expose().to_owned()),
        ("without an algorithm", format!("{}.{}.", header(json!({"alg": "none", "typ": "JWT", "kid": kid})), parts[1])),
        ("with the public key as a password", hmac),
        ("with more rights than were signed", raised),
        ("expired", with(&|claims| claims.exp = now - 1)),
        ("made in the future", with(&|claims| claims.iat_us = (now + 3600) * 1_000_000)),
        ("for a service", with(&|claims| claims.sub = "service:identity".to_owned())),
        ("for a bearer", with(&|claims| claims.sub = "bearer".to_owned())),
        ("cut off", ann.login.token[..ann.login.token.len() - 4].to_owned()),
        ("of four parts", format!("{}.x", ann.login.token)),
        ("empty", String::new()),
        ("much too long", format!("{}.{}", ann.login.token, "x".repeat(5000))),
    ] {
        let told = site.call(&login(&token), "GET", "user/me", Value::Null).await;
        assert_eq!(told.status, 401, "a token that is {why}: {}", told.text);
        let detail = told.problem(401).detail;
        assert!(
            ["log in", "cirro token", "cirro login", "clocks"].iter().any(|remedy| detail.contains(remedy)),
            "{why}: {detail}"
        );
        assert_eq!(told.header("www-authenticate"), "Bearer");
    }
}

fn login(token: &str) -> Login {
    Login::of(json!({"token": token}))
}
