//! Several compute processes on one database: what one does holds for all.

use super::site::{Site, seen};
use cirro_models::compute::{instance::InstanceStatus as S, report::NodeReport};
use cirro_server::testkit::Backend;
use futures_util::future::join_all;
use serde_json::json;

#[tokio::test]
async fn two_processes_that_place_at_once_take_no_more_than_a_node_has() {
    let site = Site::new(Backend::Postgres).await;
    let (_, other) = site.another_process().await;
    let member = site.actors.member();
    let wishes: Vec<_> = (0..24).map(|n| site.wish(&format!("web{n}"))).collect();
    let asked = wishes.iter().enumerate().map(|(n, wish)| {
        let server = if n % 2 == 0 { &site.server } else { &other };
        server.call(Some(&member), "POST", "/compute/v1/instance", Some(wish))
    });
    let told = join_all(asked).await;
    let count = |status| told.iter().filter(|told| told.status == status).count();
    assert_eq!((count(202), count(409)), (8, 16), "the node has 8 processors");
    assert_eq!((site.claims().await, site.used().await[0]), (8, 8));
}

#[tokio::test]
async fn one_key_at_two_processes_is_one_instance() {
    let site = Site::new(Backend::Postgres).await;
    let (_, other) = site.another_process().await;
    let bearer = format!("Bearer {}", site.actors.member().token.expose());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "a key")];
    let body = site.wish("web1").to_string();
    let asked = (0..10).map(|n| {
        let server = if n % 2 == 0 { &site.server } else { &other };
        server.send("POST", "/compute/v1/instance", &headers, body.clone())
    });
    let told = join_all(asked).await;
    let first = told[0].good();
    assert!(told.iter().all(|told| told.status == 202 && told.good() == first), "{told:?}");
    assert_eq!((site.claims().await, site.used().await[0]), (1, 1));
}

#[tokio::test]
async fn a_report_that_another_process_has_overtaken_is_ignored() {
    let site = Site::new(Backend::Postgres).await;
    let (_, other) = site.another_process().await;
    let id = site.launch("web1").await;
    let (old, new) = (site.saw(), site.saw());
    let say = |report: NodeReport, state| NodeReport { instances: vec![seen(id, 1, state)], ..report };
    site.report(site.node, say(new, S::Running)).await;
    let late = serde_json::to_value(say(old, S::Building)).unwrap();
    let node = site.actors.node_of(site.node);
    let told = other.call(Some(&node), "POST", &format!("/compute/v1/nodereport/{}", site.node), Some(&late)).await;
    assert_eq!(told.status, 204, "{}", told.text);
    assert_eq!(site.instance(id).await.status, S::Running);
}

#[tokio::test]
async fn who_asks_one_process_sees_what_another_has_just_written() {
    let site = Site::new(Backend::Postgres).await;
    let (_, other) = site.another_process().await;
    let member = site.actors.member();
    let id = site.launch("web1").await;
    let path = format!("/compute/v1/instance/{id}");
    assert_eq!(other.call(Some(&member), "GET", &path, None).await.good()["power"], "running");
    other.call(Some(&member), "PATCH", &path, Some(&json!({"power": "stopped"}))).await.good();
    let seen = site.server.call(Some(&member), "GET", &path, None).await.good();
    assert_eq!(seen["power"], "stopped", "nothing is remembered of a database that others write");
}
