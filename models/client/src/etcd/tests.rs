//! The client against a real etcd.

use super::{Etcd, Watched, wire::Streamed};
use crate::{
    connect::Net,
    testkit::{Server, pki::Authority, within},
    tls::Tls,
};
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn keys_live_as_long_as_their_lease_and_a_watch_tells() {
    let server = Server::start().await;
    let etcd = server.client();
    let listed = etcd.list("/a/").await.unwrap();
    let mut watch = etcd.watch("/a/", listed.revision + 1).await.unwrap();
    let lease = etcd.grant(30).await.unwrap();
    etcd.put("/a/1", b"one", lease).await.unwrap();
    etcd.put("/ab", b"not under the prefix", lease).await.unwrap();
    assert!(etcd.keep_alive(lease).await.unwrap());
    assert_eq!(etcd.list("/a/").await.unwrap().entries, [(b"/a/1".to_vec(), b"one".to_vec())]);
    etcd.revoke(lease).await.unwrap();
    assert!(!etcd.keep_alive(lease).await.unwrap(), "a lease that is gone is answered without a TTL");
    assert!(etcd.put("/a/1", b"one", lease).await.is_err());
    let mut told = Vec::new();
    while told.len() < 2 {
        let Watched::Events(events) = within("the watch tells", watch.next()).await.unwrap() else {
            panic!("compacted")
        };
        told.extend(events.into_iter().map(|event| (event.key, event.value)));
    }
    assert_eq!(told, [(b"/a/1".to_vec(), Some(b"one".to_vec())), (b"/a/1".to_vec(), None)]);
}

#[tokio::test]
async fn a_watch_from_before_a_compaction_says_so() {
    let server = Server::start().await;
    let etcd = server.client();
    let lease = etcd.grant(30).await.unwrap();
    for _ in 0..5 {
        etcd.put("/a/1", b"one", lease).await.unwrap();
    }
    let revision = etcd.list("/a/").await.unwrap().revision;
    let _compacted: Value = etcd.call("/v3/kv/compaction", &json!({ "revision": revision.to_string() })).await.unwrap();
    let mut watch = etcd.watch("/a/", 1).await.unwrap();
    assert!(matches!(within("the watch ends", watch.next()).await, Ok(Watched::Compacted)));
}

#[tokio::test]
async fn a_dead_server_is_an_error_that_names_it_and_another_one_is_asked() {
    let mut server = Server::start().await;
    let mut both = server.client();
    let alive = Server::start().await;
    both.servers = both.servers.iter().chain(alive.client().servers.iter()).cloned().collect();
    server.kill();
    both.list("/a/").await.unwrap();
    let error = server.client().list("/a/").await.err().unwrap().to_string();
    assert!(error.contains("http://localhost:") && error.contains("check that etcd runs"), "{error}");
}

#[test]
fn an_error_of_the_gateway_is_none_of_its_results() {
    let error: Streamed<Value> = serde_json::from_str(r#"{"error":{"grpc_code":11}}"#).unwrap();
    assert!(error.result.is_none());
}

#[tokio::test]
async fn over_tls_it_wants_a_certificate_and_a_watch_works_as_well() {
    let authority = Authority::new("ca");
    let me = authority.issue("cirro://lab/service/compute").identity();
    let server = Server::secure(&authority, Tls::site(&authority.pem, Some(&me)).unwrap()).await;
    let etcd = server.client();
    let mut watch = etcd.watch("/a/", 1).await.unwrap();
    let lease = etcd.grant(30).await.unwrap();
    etcd.put("/a/1", b"one", lease).await.unwrap();
    assert!(etcd.keep_alive(lease).await.unwrap());
    assert!(matches!(within("the watch tells", watch.next()).await, Ok(Watched::Events(_))));
    let nobody = Tls::site(&authority.pem, None).unwrap();
    let stranger = Etcd::new(etcd.servers.to_vec(), Arc::new(Net { tls: Some(nobody) }));
    assert!(stranger.list("/a/").await.is_err());
}
