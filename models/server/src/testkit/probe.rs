//! Asks every operation of a service as those who may not: without a token, and as somebody of another project.

use crate::testkit::{Operation, Server, operations};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Fails if an operation answers without a token, unless its id is among `open`: those have to be documented as open.
pub async fn probe_without_token(server: &Server, document: &Value, open: &[&str]) {
    let all = operations(document);
    for name in open {
        assert!(all.iter().any(|operation| operation.id == *name), "{name} is no operation: take it off the list");
    }
    for operation in &all {
        let path = operation.path_with(&uuid::Uuid::now_v7().to_string());
        let told = server.send(&operation.method, &path, &[], operation.body(document)).await;
        let name = format!("{} {}: {}", operation.method, operation.path, told.text);
        if open.contains(&operation.id.as_str()) {
            assert_eq!(operation.value["security"], json!([{}]), "{name}: the document has to say that it is open");
        } else {
            assert_eq!(told.status, 401, "{name}");
            assert_eq!(told.problem(401).kind_of_problem, "urn:cirro:problem:unauthenticated", "{name}");
            assert_eq!(told.header("www-authenticate"), "Bearer", "{name}");
        }
    }
}

/// What belongs to somebody: the id of a row by the path of its model, as in `/compute/v1/instance`.
pub type Own<'a> = BTreeMap<&'a str, String>;

/// Fails if an operation shows one of these rows to the stranger with this token: a path with its id has to answer 403 or
/// 404, a list or an answer to a wish must not name it. Returns how many operations were tried; `left_out` are ids of operations that name
/// nothing of somebody's. Whether anything was changed is the caller's to compare.
pub async fn probe_as_stranger(
    server: &Server,
    document: &Value,
    token: &str,
    own: &Own<'_>,
    left_out: &[&str],
) -> usize {
    let tried: Vec<Operation> =
        operations(document).into_iter().filter(|operation| !left_out.contains(&operation.id.as_str())).collect();
    let bearer = format!("Bearer {token}");
    for operation in &tried {
        let model = operation.path.split('/').nth(3).unwrap_or_default();
        let Some(foreign) = own.get(model).or_else(|| own.values().next()) else { return 0 };
        let batch = operation.path.ends_with("/batch");
        let body = if batch { json!({"ids": [foreign]}).to_string() } else { operation.body(document) };
        // a feed is asked for each model, everything else once
        let queries: Vec<String> = match model {
            "change" => own.keys().map(|model| format!("?model={model}")).collect(),
            _ => vec![String::new()],
        };
        for query in queries {
            let path = format!("{}{query}", operation.path_with(foreign));
            let told = server.send(&operation.method, &path, &[("authorization", &bearer)], body.clone()).await;
            let name = format!("{} {path}: {} {}", operation.method, told.status, told.text);
            if operation.path.contains('{') {
                assert!([403, 404].contains(&told.status), "{name}");
            } else if batch {
                assert_eq!(told.good()["items"], json!([]), "{name}");
            } else {
                assert!(told.status < 500 && own.values().all(|id| !told.text.contains(id)), "{name}");
            }
        }
    }
    tried.len()
}
