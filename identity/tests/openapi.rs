//! The OpenAPI document: committed, valid, and every operation in it asked without a token and with another project's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_server::testkit::{Backend, Operation, assert_document, document, document_faults, operations};
use serde_json::{Value, json};
use site::Site;

/// The operations that may be called without a token. No line may be added for an operation that reads or changes what
/// is somebody's.
const WITHOUT_TOKEN: &str = include_str!("without_token.txt");

#[tokio::test]
async fn the_document_is_the_committed_one_and_valid() {
    let site = Site::without_admin(Backend::Sqlite).await;
    let document = document(&site.identity);
    assert_eq!(document_faults(&document), Vec::<String>::new());
    assert_document(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.json"), &document);
    let served = site.server.send("GET", "/identity/v1/openapi.json", &[], "").await.good();
    assert_eq!(served, document);
}

#[tokio::test]
async fn no_operation_answers_without_a_token() {
    let site = Site::new(Backend::Sqlite).await;
    let document = document(&site.identity);
    let open: Vec<&str> = WITHOUT_TOKEN.lines().collect();
    let all = operations(&document);
    for name in &open {
        assert!(all.iter().any(|operation| operation.id == *name), "{name} is no operation: take it off the list");
    }
    for operation in &all {
        let path = operation.path_with(&uuid::Uuid::now_v7().to_string());
        let told = site.server.send(&operation.method, &path, &[], operation.body(&document)).await;
        let name = format!("{} {}", operation.method, operation.path);
        if open.contains(&operation.id.as_str()) {
            assert_eq!(operation.value["security"], json!([{}]), "{name}: the document has to say that it is open");
        } else {
            assert_eq!(told.problem(401).kind_of_problem, "urn:cirro:problem:unauthenticated", "{name}");
            assert_eq!(told.header("www-authenticate"), "Bearer", "{name}");
        }
    }
}

#[tokio::test]
async fn no_operation_shows_or_changes_what_is_another_projects() {
    let site = Site::new(Backend::Sqlite).await;
    site.new_project("other").await;
    let ann = site.person("ann", "admin", "default").await;
    let home = site.project_id("default").await;
    let (key, _) = site.key(&ann.login, "ci", "member", &home).await;
    let rows = [("user", &ann.id), ("project", &home), ("grant", &ann.grant), ("apikey", &key)];
    let before = everything(&site).await;
    let mallory = site.person("mallory", "admin", "other").await;
    let own = everything(&site).await;

    let document = document(&site.identity);
    let tried: Vec<Operation> = operations(&document)
        .into_iter()
        // these name nothing that could be somebody else's
        .filter(|operation| !["create_token", "delete_token", "jwks", "me_user"].contains(&operation.id.as_str()))
        .collect();
    for operation in &tried {
        let model = operation.path.split('/').nth(3).unwrap();
        let foreign = rows.iter().find(|(path, _)| *path == model).map_or("", |(_, id)| id.as_str());
        let path = operation.path_with(foreign).replace("/identity/v1/", "");
        let batch = path.ends_with("/batch");
        let body = if batch { json!({"ids": [foreign]}).to_string() } else { operation.body(&document) };
        let bearer = format!("Bearer {}", mallory.login.token);
        let query = if model == "change" { "?model=user" } else { "" };
        let told = site
            .server
            .send(&operation.method, &format!("/identity/v1/{path}{query}"), &[("authorization", &bearer)], body)
            .await;
        let name = format!("{} {}: {} {}", operation.method, operation.path, told.status, told.text);
        if operation.path.contains('{') {
            assert!([403, 404].contains(&told.status), "{name}");
        } else if batch {
            assert_eq!(told.good()["items"], json!([]), "{name}");
        } else if !foreign.is_empty() {
            assert!(told.status < 500 && !told.text.contains(foreign), "{name}");
        }
    }
    assert!(tried.len() > 20, "only {} operations were tried", tried.len());
    let after = everything(&site).await;
    for row in before.iter().filter(|row| !row["id"].is_null()) {
        assert!(after.contains(row), "somebody else changed {row}");
    }
    assert!(own.len() > before.len());
}

/// Every row that an operator can list.
async fn everything(site: &Site) -> Vec<Value> {
    let (operator, mut all) = (site.operator().await, Vec::new());
    for path in ["user", "project", "grant", "apikey"] {
        let listed = site.call(&operator, "GET", &format!("{path}?limit=1000"), Value::Null).await.good();
        all.extend(listed["items"].as_array().unwrap().clone());
    }
    all
}
