//! The OpenAPI document: committed, valid, and every operation in it asked without a token and with another project's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_server::testkit::{Backend, Own, check_document, document, probe_as_stranger, probe_without_token};
use serde_json::{Value, json};
use site::Site;

/// The operations that may be called without a token. No line may be added for an operation that reads or changes what
/// is somebody's.
const WITHOUT_TOKEN: &str = include_str!("without_token.txt");

#[tokio::test]
async fn the_document_is_the_committed_one_and_valid() {
    let site = Site::without_admin(Backend::Sqlite).await;
    check_document(&site.identity, &site.server, env!("CARGO_MANIFEST_DIR")).await;
}

#[tokio::test]
async fn no_operation_answers_without_a_token() {
    let site = Site::new(Backend::Sqlite).await;
    let open: Vec<&str> = WITHOUT_TOKEN.lines().collect();
    probe_without_token(&site.server, &document(&site.identity), &open).await;
}

#[tokio::test]
async fn no_operation_shows_or_changes_what_is_another_projects() {
    let site = Site::new(Backend::Sqlite).await;
    site.new_project("other").await;
    let ann = site.person("ann", "admin", "default").await;
    let home = site.project_id("default").await;
    let (key, _) = site.key(&ann.login, "ci", "member", &home).await;
    let operator = site.operator().await;
    let revoked = json!({"subject": format!("token:{}", uuid::Uuid::now_v7())});
    let revoked = site::id(&site.call(&operator, "POST", "revocation", revoked).await.good());
    let group = site::id(&site.call(&operator, "POST", "group", json!({"name": "team"})).await.good());
    let member = json!({"group_id": group, "user_id": ann.id});
    let member = site::id(&site.call(&operator, "POST", "groupmember", member).await.good());
    let join = site::id(&site.call(&operator, "POST", "jointoken", json!({})).await.good());
    let own = Own::from([
        ("user", ann.id.clone()),
        ("project", home),
        ("grant", ann.grant.clone()),
        ("apikey", key),
        ("revocation", revoked),
        ("group", group),
        ("groupmember", member),
        ("jointoken", join),
    ]);
    let before = everything(&site).await;
    let mallory = site.person("mallory", "admin", "other").await;
    let with_mallory = everything(&site).await;
    // these name nothing that could be somebody else's
    let left_out = [
        "list_group",
        "get_group",
        "batch_group",
        "list_tokenkey",
        "get_tokenkey",
        "batch_tokenkey",
        "create_token",
        "delete_token",
        "delete_this_token",
        "jwks",
        "me_user",
        "enrol",
        "renew_certificate",
        "site_authority",
    ];
    let document = document(&site.identity);
    let tried = probe_as_stranger(&site.server, &document, &mallory.login.token, &own, &left_out).await;
    assert!(tried > 20, "only {tried} operations were tried");
    let after = everything(&site).await;
    for row in before.iter().filter(|row| !row["id"].is_null()) {
        assert!(after.contains(row), "somebody else changed {row}");
    }
    assert!(with_mallory.len() > before.len());
}

/// Every row that an operator can list.
async fn everything(site: &Site) -> Vec<Value> {
    let (operator, mut all) = (site.operator().await, Vec::new());
    for path in ["user", "project", "grant", "group", "groupmember", "apikey", "revocation", "tokenkey", "jointoken"] {
        let listed = site.call(&operator, "GET", &format!("{path}?limit=1000"), Value::Null).await.good();
        all.extend(listed["items"].as_array().unwrap().clone());
    }
    all
}
