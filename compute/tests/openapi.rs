//! The OpenAPI document: committed, valid, and every operation in it asked without a token and with another project's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_server::testkit::{Backend, Own, check_document, document, probe_as_stranger, probe_without_token};
use serde_json::{Value, json};
use site::{Site, id};

#[tokio::test]
async fn the_document_is_the_committed_one_and_valid() {
    let site = Site::new(Backend::Sqlite).await;
    check_document(&site.compute, &site.server, env!("CARGO_MANIFEST_DIR")).await;
}

#[tokio::test]
async fn no_operation_answers_without_a_token() {
    let site = Site::new(Backend::Sqlite).await;
    probe_without_token(&site.server, &document(&site.compute), &[]).await;
}

#[tokio::test]
async fn no_operation_shows_or_changes_what_is_another_projects() {
    let site = Site::new(Backend::Sqlite).await;
    let instance = site.running("web1").await;
    let action = site.member("POST", "instanceaction", json!({"instance_id": instance, "kind": "reboot"})).await.good();
    let log = site.member("POST", "consolelog", json!({"instance_id": instance})).await.good();
    let key = json!({"name": "k", "public_key": format!("ssh-ed25519 {}", "A".repeat(68))});
    let key = site.member("POST", "sshkey", key).await.good();
    let own = Own::from([
        ("instance", instance.to_string()),
        ("sshkey", id(&key)),
        ("node", site.node.to_string()),
        ("instanceaction", id(&action)),
        ("consolelog", id(&log)),
        ("nodeassignment", site.node.to_string()),
        ("nodereport", site.node.to_string()),
        ("nodeheartbeat", site.node.to_string()),
        ("nodelease", site.node.to_string()),
        ("quota", site.actors.project.to_string()),
        // a flavor is the site's, and everybody reads it: somebody's id is none of a flavor
        ("flavor", instance.to_string()),
    ]);
    let before = everything(&site).await;
    let document = document(&site.compute);
    let tried = probe_as_stranger(&site.server, &document, site.actors.outsider().token.expose(), &own, &[]).await;
    assert!(tried > 30, "only {tried} operations were tried");
    assert_eq!(everything(&site).await, before, "somebody else changed something");
}

async fn everything(site: &Site) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["flavor", "sshkey", "node", "instance", "instanceaction", "consolelog", "unclaimedguest"] {
        all.push(site.call(&site.actors.member(), "GET", &format!("{path}?limit=1000"), Value::Null).await.good());
    }
    all
}
