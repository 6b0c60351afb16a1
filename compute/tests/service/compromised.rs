//! The token of a compromised node tries every operation there is: it gets nothing that is not its own.

use super::site::{Site, build, id, put};
use cirro_models::Verbs;
use cirro_models::compute::{Instance, UnclaimedGuest, instance::InstanceStatus as S};
use cirro_server::testkit::{Backend, document, operations};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_compromised_node_gets_and_changes_nothing_that_is_not_its_own() {
    let site = Site::new(Backend::Sqlite).await;
    let theirs = site.running("theirs").await;
    let action = site.member("POST", "instanceaction", json!({"instance_id": theirs, "kind": "reboot"})).await.good();
    let log = site.member("POST", "consolelog", json!({"instance_id": theirs})).await.good();
    let key = json!({"name": "k", "public_key": format!("ssh-ed25519 {}", "A".repeat(68))});
    let key = site.member("POST", "sshkey", key).await.good();
    let unclaimed: UnclaimedGuest = build(
        site.actors.project,
        json!({"node_id": site.node, "instance_id": Uuid::now_v7(), "generation": 1, "name": "lost",
            "project_id": site.actors.project, "image_id": site.image, "vcpus": 1, "memory_mib": 1, "disk_gib": 1,
            "running": true}),
    );
    put(&site.compute, unclaimed.clone()).await;
    site.operator("PATCH", &format!("node/{}", site.node), json!({"mode": "drain"})).await.good();
    let plan = json!({"name": "seen", "intent": "preview", "groups": [{"name": "web", "count": 1,
        "template": {"flavor_id": site.small, "image_id": site.image}}]});
    let plan = site.member("POST", "launchplan", plan).await.good();
    let evil = site.new_node("evil", 8, 8192, 100).await;
    let own = site.launch("own").await;
    assert_eq!(site.instance(own).await.node_id, Some(evil));
    let mallory = site.actors.node_of(evil);
    let foreign = [
        ("flavor", site.small.to_string()),
        ("sshkey", id(&key)),
        ("node", site.node.to_string()),
        ("instance", theirs.to_string()),
        ("instanceaction", id(&action)),
        ("consolelog", id(&log)),
        ("unclaimedguest", unclaimed.id.to_string()),
        ("launchplan", id(&plan)),
        ("nodeassignment", site.node.to_string()),
        ("nodereport", site.node.to_string()),
        ("nodeheartbeat", site.node.to_string()),
        ("nodelease", site.node.to_string()),
    ];
    let before = everything(&site).await;

    let document = document(&site.compute);
    let all = operations(&document);
    assert!(all.len() > 40, "only {} operations", all.len());
    let bearer = format!("Bearer {}", mallory.token.expose());
    for operation in &all {
        let model = operation.path.split('/').nth(3).unwrap();
        let other = foreign.iter().find(|(path, _)| *path == model).map_or("", |(_, id)| id.as_str());
        let batch = operation.path.ends_with("/batch");
        let body = if batch { json!({"ids": [other]}).to_string() } else { operation.body(&document) };
        let query = if model == "change" { "?model=instance" } else { "" };
        let path = format!("{}{query}", operation.path_with(other));
        let told = site.server.send(&operation.method, &path, &[("authorization", &bearer)], body).await;
        let name = format!("{} {}: {} {}", operation.method, operation.path, told.status, told.text);
        if operation.path.contains('{') {
            assert!([403, 404].contains(&told.status), "{name}");
        } else if batch {
            assert_eq!(told.good()["items"], json!([]), "{name}");
        } else if model == "events" {
            assert_eq!(told.status, 400, "no WebSocket was asked for: {name}");
        } else if ["audit", "auditrecord", "job"].contains(&model) {
            assert_eq!(told.status, 403, "{name}");
        } else if operation.method == "GET" {
            let shown = told.good();
            // of a flavor it knows the id, because its own instance has one
            let shown = shown["items"].to_string();
            let hidden = foreign.iter().filter(|(path, _)| *path != "flavor" || model == "flavor");
            assert!(hidden.into_iter().all(|(_, id)| !shown.contains(id)), "{name}");
        } else {
            assert_eq!(told.status, 403, "{name}");
        }
    }
    assert_eq!(everything(&site).await, before, "a node changed what is not its own");

    // its own it reads, and may not change but by reports
    let path = format!("instance/{own}");
    assert_eq!(site.call(&mallory, "GET", &path, Value::Null).await.good()["name"], "own");
    site.call(&mallory, "PATCH", &path, json!({"power": "stopped"})).await.problem(403);
    site.call(&mallory, "DELETE", &path, Value::Null).await.problem(403);
    let raise = json!({"vcpus": 4096, "mode": "active"});
    site.call(&mallory, "PATCH", &format!("node/{evil}"), raise).await.problem(403);
    assert_eq!(site.instance(own).await.status, S::Pending);
}

/// Every row of ours and theirs, as the database has it.
async fn everything(site: &Site) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["flavor", "sshkey", "node", "instance", "instanceaction", "consolelog", "unclaimedguest", "launchplan"]
    {
        all.push(site.operator("GET", &format!("{path}?limit=1000"), Value::Null).await.good());
    }
    all
}

#[tokio::test]
async fn a_node_that_moved_away_from_an_instance_sees_it_no_more() {
    let site = Site::new(Backend::Sqlite).await;
    let moved = site.running("moved").await;
    let old = site.actors.node_of(site.node);
    site.call(&old, "GET", &format!("instance/{moved}"), Value::Null).await.good();
    let two = site.new_node("two", 8, 8192, 100).await;
    let write =
        move |tx: &mut cirro_server::Tx<'_>| tx.change::<Instance>(moved, |row| row.node_id = Some(two)).map(drop);
    cirro_server::OwnerContext::write(&site.compute.own_context(), write).await.unwrap();
    site.call(&old, "GET", &format!("instance/{moved}"), Value::Null).await.problem(404);
    assert!(site.assignment(site.node, "").await.manifest.is_empty());
    assert!(Instance::get(&site.actors.node_of(two).inside(&site.compute), moved).await.is_ok());
}
