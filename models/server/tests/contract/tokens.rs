//! Tokens that prove nothing: each is refused with 401, whoever they say they are.

use crate::{
    models::Boat,
    site::{Site, Way},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use cirro_models::{Error, Page, Timestamp, Verbs, identity::Secret};
use cirro_server::testkit::{Actors, Backend};
use serde_json::json;

/// What this token's bearer is told.
async fn told(site: &Site, token: &str) -> Result<(), String> {
    let ctx = cirro_client::context(site.server.http.clone(), Some(Secret::new(token)));
    match Boat::list(&ctx, &crate::models::BoatFilter::default(), &Page::default()).await {
        Ok(_) => Ok(()),
        Err(Error::Unauthenticated { detail }) => Err(detail),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_only_as_it_was_signed_and_while_it_lasts() {
    let site = Site::open(Backend::Sqlite).await;
    let operator = site.actors.operator();
    let good = operator.token.expose().to_owned();
    told(&site, &good).await.unwrap();

    let mut parts: Vec<&str> = good.split('.').collect();
    let part = |json: serde_json::Value| B64.encode(json.to_string());
    let header: serde_json::Value = serde_json::from_slice(&B64.decode(parts[0]).unwrap()).unwrap();
    let with_header = |change: serde_json::Value| {
        let mut header = header.clone();
        header.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        part(header)
    };
    let mut claims = operator.claims.clone();
    claims.sub = site.actors.admin().claims.sub;
    let (forged, none, hmac) =
        (part(json!(claims)), with_header(json!({ "alg": "none" })), with_header(json!({ "alg": "HS256" })));
    let unknown_key = with_header(json!({ "kid": "another" }));
    let other_key = Actors::new().operator().token.expose().to_owned();
    let original = parts.clone();
    let mut bad = vec![
        String::from("x"),
        String::from("."),
        String::from("a.b.c"),
        other_key,
        format!("{good}."),
        format!("{good}x"),
        "x".repeat(9000),
    ];
    for (place, value) in [(1, &forged), (0, &none), (0, &hmac), (0, &unknown_key)] {
        parts.clone_from(&original);
        parts[place] = value;
        bad.push(parts.join("."));
        parts[2] = "";
        bad.push(parts.join("."));
    }
    for token in bad {
        let refused = told(&site, &token).await.unwrap_err();
        assert!(refused.starts_with("the token can't be trusted"), "{token}: {refused}");
    }
    told(&site, &good).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_time_and_with_its_revocation() {
    let site = Site::open(Backend::Sqlite).await;
    let now = Timestamp::now().micros() / 1_000_000;
    let mut claims = site.actors.operator().claims;
    claims.exp = now - 1;
    assert!(told(&site, site.actors.sign(claims.clone()).token.expose()).await.unwrap_err().contains("has expired"));
    claims.exp = now + 600;
    claims.iat_us = (now + 600) * 1_000_000;
    assert!(told(&site, site.actors.sign(claims).token.expose()).await.unwrap_err().contains("in the future"));

    let member = site.actors.member();
    told(&site, member.token.expose()).await.unwrap();
    site.actors.verifier.revoke(&member.claims.root, Timestamp::now());
    assert!(told(&site, member.token.expose()).await.unwrap_err().contains("was revoked"), "though it was remembered");
    told(&site, site.actors.member().token.expose()).await.unwrap();
    told(&site, site.actors.viewer().token.expose()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_owner_refuses_what_has_expired_as_it_does_over_http() {
    let site = Site::open(Backend::Sqlite).await;
    let mut claims = site.actors.operator().claims;
    claims.exp = 1;
    let expired = site.actors.sign(claims);
    let filter = crate::models::BoatFilter::default();
    let mut said = Vec::new();
    for way in [Way::Mounted, Way::Remote, Way::Bus] {
        said.push(Boat::list(&site.context(way, &expired), &filter, &Page::default()).await.unwrap_err().to_string());
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
}
