//! What a node is told: everything it should hold, what changed, and at once.

use super::site::{Site, id};
use cirro_models::{
    Id,
    compute::{Instance, assignment::NodeAssignment, instance::InstanceStatus as S},
};
use cirro_server::testkit::Backend;
use futures_util::{future::join, poll};
use serde_json::{Value, json};
use std::{pin::pin, task::Poll};
use uuid::Uuid;

fn manifest(told: &NodeAssignment) -> Vec<i64> {
    told.manifest.iter().map(|entry| entry.generation.get()).collect()
}

#[tokio::test]
async fn the_manifest_is_complete_and_bodies_are_those_that_the_node_has_not_followed() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (first, second) = (site.launch("first").await, site.launch("second").await);
        let all = site.assignment(site.node, "").await;
        assert_eq!((manifest(&all), all.instances.len()), (vec![1, 1], 2));
        let body = all.instances.iter().find(|body| body.id == first).unwrap();
        assert_eq!((body.name.as_str(), body.vcpus.get(), body.memory_mib.get()), ("first", 1, 256));
        assert_eq!((body.image.id, body.image.sha256.as_str()), (site.image, &*"ab".repeat(32)));
        assert_eq!(body.project_id, site.actors.project);

        site.saw_as(first, 1, S::Running).await;
        site.member("PATCH", &format!("instance/{second}"), json!({"power": "stopped"})).await.good();
        let next = site.assignment(site.node, &format!("?since={}", all.revision)).await;
        assert_eq!(next.manifest.len(), 2);
        assert_eq!(next.instances.iter().map(|body| body.id).collect::<Vec<_>>(), [second]);
        assert_eq!(next.instances[0].generation.get(), 2);
        site.saw_as(second, 2, S::Stopped).await;
        let nothing = site.assignment(site.node, &format!("?since={}", next.revision)).await;
        assert_eq!((nothing.manifest.len(), nothing.instances.len()), (2, 0));
    }
}

#[tokio::test]
async fn a_node_is_told_who_asked_for_what_it_has_not_done_yet() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let asking = async |request: &str, method: &str, path: &str, body: Value| {
            let bearer = format!("Bearer {}", member.token.expose());
            let headers = [("authorization", bearer.as_str()), ("x-request-id", request)];
            let body = if body.is_null() { String::new() } else { body.to_string() };
            site.server.send(method, &format!("/compute/v1/{path}"), &headers, body).await.good()
        };
        let of =
            async || -> Vec<(Uuid, String)> { site.assignment(site.node, "").await.requests.into_iter().collect() };
        let made: Id<Instance> =
            id(&asking("create-web1", "POST", "instance", site.wish("web1")).await).parse().unwrap();
        assert_eq!(of().await, [(made.uuid(), "create-web1".to_owned())]);
        site.saw_as(made, 1, S::Running).await;
        assert_eq!(of().await, [], "it is done");
        asking("stop-web1", "PATCH", &format!("instance/{made}"), json!({"power": "stopped"})).await;
        assert_eq!(of().await, [(made.uuid(), "stop-web1".to_owned())]);
        // what was refused changed nothing
        let outsider = site.actors.viewer();
        site.call(&outsider, "DELETE", &format!("instance/{made}"), Value::Null).await.problem(403);
        asking("start-web1", "PATCH", &format!("instance/{made}"), json!({"power": "running"})).await;
        site.saw_as(made, 3, S::Running).await;
        let reboot = json!({"instance_id": made, "kind": "reboot"});
        let action = id(&asking("reboot-web1", "POST", "instanceaction", reboot).await).parse().unwrap();
        assert_eq!(of().await, [(action, "reboot-web1".to_owned())]);
        asking("delete-web1", "DELETE", &format!("instance/{made}"), Value::Null).await;
        assert!(of().await.contains(&(made.uuid(), "delete-web1".to_owned())));
    }
}

#[tokio::test]
async fn a_revision_of_another_epoch_or_of_no_sense() {
    let site = Site::new(Backend::Sqlite).await;
    site.launch("first").await;
    let all = site.assignment(site.node, "").await;
    assert_eq!(site.assignment(site.node, "?since=1.0.5").await.instances.len(), 1, "another epoch begins anew");
    let node = site.actors.node_of(site.node);
    for query in ["?since=nonsense", "?sinc=1.0.5", "?wait_ms=long"] {
        let path = format!("nodeassignment/{}{query}", site.node);
        site.call(&node, "GET", &path, Value::Null).await.problem(422);
    }
    assert_eq!(site.assignment(site.node, &format!("?since={}", all.revision)).await.epoch, all.epoch);
}

#[tokio::test]
async fn a_poll_ends_with_a_wish_and_waits_over_the_nodes_own_reports() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.launch("first").await;
        let other = site.new_node("two", 8, 8192, 100).await;
        let node = site.actors.node_of(site.node);
        let since = site.assignment(site.node, "").await.revision;
        let path = format!("nodeassignment/{}?since={since}&wait_ms=30000", site.node);
        let mut waiting = pin!(site.call(&node, "GET", &path, Value::Null));
        assert!(matches!(poll!(&mut waiting), Poll::Pending));

        // what the node says itself, and what is asked of another, is no news for it
        for state in [S::Building, S::Starting, S::Running] {
            site.saw_as(id, 1, state).await;
        }
        site.report(other, site.saw()).await;
        let began = std::time::Instant::now();
        let instance = format!("instance/{id}");
        let wish = site.member("PATCH", &instance, json!({"power": "stopped"}));
        let (told, wished) = join(waiting, wish).await;
        wished.good();
        let told: NodeAssignment = serde_json::from_value(told.good()).unwrap();
        assert_eq!((manifest(&told), told.instances.len()), (vec![2], 1), "it was woken by its own report");
        assert!(began.elapsed().as_secs() < 25, "the wish did not wake it");
    }
}

#[tokio::test]
async fn every_order_wakes_the_node() {
    let site = Site::new(Backend::Sqlite).await;
    let id = site.running("first").await;
    let node = site.actors.node_of(site.node);
    for order in ["console_logs", "actions", "tombstones"] {
        let since = site.assignment(site.node, "").await.revision;
        let path = format!("nodeassignment/{}?since={since}&wait_ms=30000", site.node);
        let wait = site.call(&node, "GET", &path, Value::Null);
        let give = async {
            match order {
                "console_logs" => site.member("POST", "consolelog", json!({"instance_id": id})).await,
                "actions" => site.member("POST", "instanceaction", json!({"instance_id": id, "kind": "reset"})).await,
                _ => site.member("DELETE", &format!("instance/{id}"), Value::Null).await,
            }
        };
        let (told, given) = join(wait, give).await;
        given.good();
        assert_eq!(told.good()[order].as_array().unwrap().len(), 1, "{order}");
    }
}

#[tokio::test]
async fn a_node_that_says_what_it_holds_is_told_only_what_is_new() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let id = site.launch("first").await;
        let since = site.assignment(site.node, "").await.revision;
        let bearer = format!("Bearer {}", site.actors.node_of(site.node).token.expose());
        let ask = async |wait: u64, held: &str| {
            let path = format!("/compute/v1/nodeassignment/{}?since={since}&wait_ms={wait}", site.node);
            let headers = [("authorization", bearer.as_str()), ("if-none-match", held)];
            site.server.send("GET", &path, &headers, "").await
        };
        let held = format!("\"{since}\"");
        let same = ask(50, &held).await;
        assert_eq!((same.status, same.text.as_str()), (304, ""));
        assert!(same.headers.contains_key("x-request-id"));
        ask(0, &held).await.good();
        ask(50, "\"another\"").await.good();
        site.member("PATCH", &format!("instance/{id}"), json!({"power": "stopped"})).await.good();
        let told: NodeAssignment = serde_json::from_value(ask(30_000, &held).await.good()).unwrap();
        assert_eq!(manifest(&told), [2], "what is new was not told");
    }
}

#[tokio::test]
async fn an_operator_may_look_and_nobody_else() {
    let site = Site::new(Backend::Sqlite).await;
    site.launch("first").await;
    let path = format!("nodeassignment/{}", site.node);
    assert_eq!(site.operator("GET", &path, Value::Null).await.good()["manifest"].as_array().unwrap().len(), 1);
    let other = site.new_node("two", 8, 8192, 100).await;
    for actor in [site.actors.admin(), site.actors.member(), site.actors.node_of(other)] {
        site.call(&actor, "GET", &path, Value::Null).await.problem(404);
    }
    // to say what a node saw is the node's alone
    let report = site.saw();
    assert_eq!(site.tell(&site.actors.operator(), site.node, &report).await.status, 404);
}
