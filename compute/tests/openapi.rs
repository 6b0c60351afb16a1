//! The OpenAPI document: committed, valid, and every operation in it asked without a token and with another project's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_server::testkit::{Backend, assert_document, document, document_faults, operations};
use serde_json::{Value, json};
use site::{Site, id};

/// The operations that may be called without a token: none.
const WITHOUT_TOKEN: &str = include_str!("without_token.txt");

#[tokio::test]
async fn the_document_is_the_committed_one_and_valid() {
    let site = Site::new(Backend::Sqlite).await;
    let document = document(&site.compute);
    assert_eq!(document_faults(&document), Vec::<String>::new());
    assert_document(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.json"), &document);
    let served = site.server.send("GET", "/compute/v1/openapi.json", &[], "").await.good();
    assert_eq!(served, document);
}

#[tokio::test]
async fn no_operation_answers_without_a_token() {
    let site = Site::new(Backend::Sqlite).await;
    let document = document(&site.compute);
    for operation in operations(&document) {
        assert!(!WITHOUT_TOKEN.lines().any(|line| line == operation.id));
        let path = operation.path_with(&site.node.to_string());
        let told = site.server.send(&operation.method, &path, &[], operation.body(&document)).await;
        assert_eq!(told.status, 401, "{} {}: {}", operation.method, operation.path, told.text);
        assert_eq!(told.problem(401).kind_of_problem, "urn:cirro:problem:unauthenticated");
        assert_eq!(told.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn no_operation_shows_or_changes_what_is_another_projects() {
    let site = Site::new(Backend::Sqlite).await;
    let instance = site.running("web1").await;
    let action = site.member("POST", "instanceaction", json!({"instance_id": instance, "kind": "reboot"})).await.good();
    let log = site.member("POST", "consolelog", json!({"instance_id": instance})).await.good();
    let key = json!({"name": "k", "public_key": format!("ssh-ed25519 {}", "A".repeat(68))});
    let key = site.member("POST", "sshkey", key).await.good();
    let foreign = [
        ("sshkey", id(&key)),
        ("node", site.node.to_string()),
        ("instance", instance.to_string()),
        ("instanceaction", id(&action)),
        ("consolelog", id(&log)),
        ("nodeassignment", site.node.to_string()),
        ("nodereport", site.node.to_string()),
    ];
    let before = everything(&site).await;
    let document = document(&site.compute);
    let outsider = format!("Bearer {}", site.actors.outsider().token.expose());
    for operation in operations(&document) {
        let model = operation.path.split('/').nth(3).unwrap();
        let other =
            foreign.iter().find(|(path, _)| *path == model).map_or(site.actors.project.to_string(), |f| f.1.clone());
        // flavors are the site's, and everybody reads them
        let batch = operation.path.ends_with("/batch");
        let body = if batch { json!({"ids": [other]}).to_string() } else { operation.body(&document) };
        let query = if model == "change" { "?model=instance" } else { "" };
        let path = format!("{}{query}", operation.path_with(&other));
        let told = site.server.send(&operation.method, &path, &[("authorization", &outsider)], body).await;
        let name = format!("{} {}: {} {}", operation.method, operation.path, told.status, told.text);
        if operation.path.contains('{') {
            assert!([403, 404].contains(&told.status), "{name}");
        } else if batch {
            assert_eq!(told.good()["items"], json!([]), "{name}");
        } else {
            assert!(told.status < 500 && foreign.iter().all(|(_, id)| !told.text.contains(id)), "{name}");
        }
    }
    assert_eq!(everything(&site).await, before, "somebody else changed something");
}

async fn everything(site: &Site) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["flavor", "sshkey", "node", "instance", "instanceaction", "consolelog", "unclaimedguest"] {
        all.push(site.call(&site.actors.member(), "GET", &format!("{path}?limit=1000"), Value::Null).await.good());
    }
    all
}
