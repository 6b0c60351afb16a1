//! Registering and following with a real etcd: who comes, goes, fails, hangs and lies.

use super::{Check, Entry, Registration, Registry, RegistryParams};
use crate::{
    Http, Reach,
    address::Address,
    discovery::{Endpoints, Place},
    request::whole,
    testkit::{Log, Server, within},
};
use cirro_models::{Error, Service};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

const PREFIX: &str = "/cirro/test/compute";

/// The shortest lease that etcd grants here is 1 s (1.5 times its election timeout, rounded up).
const SHORT: RegistryParams = RegistryParams { ttl_s: 1 };

fn registry(server: &Server) -> Registry {
    Registry::open(&server.url(PREFIX), None).unwrap()
}

fn following(server: &Server) -> Endpoints {
    Endpoints::at(&server.url(PREFIX).parse::<Place>().unwrap(), false, None).unwrap()
}

fn entry(port: u16) -> Entry {
    Entry { address: format!("127.0.0.1:{port}"), version: "0.1.0".to_owned() }
}

fn well() -> Check {
    Arc::new(|| Box::pin(std::future::ready(true)))
}

fn register(registry: &Registry, id: &str, port: u16) -> Registration {
    registry.register(id, &entry(port), SHORT, well()).unwrap()
}

/// Waits until exactly these ports are known.
async fn known(endpoints: &mut Endpoints, ports: &[u16]) {
    let wanted: Vec<_> = ports.iter().map(|port| Address::new("127.0.0.1", *port, false).unwrap()).collect();
    within(&format!("the endpoints are {ports:?}"), async {
        while *endpoints.now() != *wanted {
            endpoints.changed().await.unwrap();
        }
    })
    .await;
}

/// Waits until these ids are registered.
async fn registered(registry: &Registry, ids: &[&str]) {
    within(&format!("{ids:?} are registered"), async {
        loop {
            if let Ok(members) = registry.members().await
                && members.iter().map(|member| member.id.as_str()).eq(ids.iter().copied())
            {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_registers_is_found_and_who_stops_or_dies_is_not() {
    let server = Server::start().await;
    let (registry, mut endpoints) = (registry(&server), following(&server));
    let first = register(&registry, "c-1", 1);
    let second = register(&registry, "c-2", 2);
    let third = register(&registry, "c-3", 3);
    known(&mut endpoints, &[1, 2, 3]).await;
    let members = registry.members().await.unwrap();
    assert_eq!((members[0].id.as_str(), &members[0].entry), ("c-1", &entry(1)));
    first.stop().await;
    assert_eq!(registry.members().await.unwrap().len(), 2, "it was out when `stop` was");
    known(&mut endpoints, &[2, 3]).await;
    // as if the process were killed: nothing renews the lease, nothing revokes it
    second.task.abort();
    known(&mut endpoints, &[3]).await;
    third.stop().await;
    registered(&registry, &[]).await;
    assert_eq!(endpoints.now().len(), 1, "an empty registry is no reason to forget the last one");
}

#[tokio::test]
async fn who_fails_its_health_check_leaves_until_it_is_well() {
    let server = Server::start().await;
    let registry = registry(&server);
    let health = Arc::new(AtomicBool::new(false));
    let asked = health.clone();
    let check: Check = Arc::new(move || {
        let well = asked.load(SeqCst);
        Box::pin(std::future::ready(well))
    });
    let _always = register(&registry, "c-1", 1);
    let _moody = registry.register("c-2", &entry(2), SHORT, check).unwrap();
    let hangs: Check = Arc::new(|| Box::pin(std::future::pending()));
    let _hanging = registry.register("c-3", &entry(3), SHORT, hangs).unwrap();
    registered(&registry, &["c-1"]).await;
    health.store(true, SeqCst);
    registered(&registry, &["c-1", "c-2"]).await;
    health.store(false, SeqCst);
    registered(&registry, &["c-1"]).await;
}

#[tokio::test]
async fn a_lost_lease_is_replaced() {
    let server = Server::start().await;
    let (registry, etcd) = (registry(&server), server.client());
    let _held = register(&registry, "c-1", 1);
    registered(&registry, &["c-1"]).await;
    let leases: serde_json::Value = etcd.call("/v3/lease/leases", &serde_json::json!({})).await.unwrap();
    let lease = leases["leases"][0]["ID"].as_str().unwrap().parse().unwrap();
    etcd.revoke(lease).await.unwrap();
    registered(&registry, &["c-1"]).await;
}

#[tokio::test]
async fn while_etcd_is_away_the_last_known_are_used_and_afterwards_all_goes_on() {
    let log = Log::start();
    let mut server = Server::start().await;
    let (registry, mut endpoints) = (registry(&server), following(&server));
    let _first = register(&registry, "c-1", 1);
    let second = register(&registry, "c-2", 2);
    known(&mut endpoints, &[1, 2]).await;
    server.kill();
    within("it is said that etcd is away", async {
        // once by who follows, once by each of the two who are registered
        while log.alerts("registry_unreachable") < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(endpoints.now().len(), 2);
    server.revive().await;
    let _third = register(&registry, "c-3", 3);
    known(&mut endpoints, &[1, 2, 3]).await;
    second.stop().await;
    known(&mut endpoints, &[1, 3]).await;
}

#[tokio::test]
async fn what_is_no_address_is_passed_over_with_an_alert() {
    let log = Log::start();
    let server = Server::start().await;
    let (registry, etcd, mut endpoints) = (registry(&server), server.client(), following(&server));
    let lease = etcd.grant(60).await.unwrap();
    let hostile: [&[u8]; 5] = [
        b"not json",
        br#"{"address":"a:1; proxy_pass http://evil"}"#,
        br#"{"address":"evil/../x:1"}"#,
        br#"{"address":7}"#,
        b"\xff\xfe",
    ];
    for (place, value) in hostile.iter().enumerate() {
        etcd.put(&format!("{PREFIX}/bad-{place}"), value, lease).await.unwrap();
    }
    etcd.put(&format!("{PREFIX}/good"), br#"{"address":"127.0.0.1:9","more":1}"#, lease).await.unwrap();
    etcd.put(&format!("{PREFIX}2/other"), br#"{"address":"127.0.0.1:8"}"#, lease).await.unwrap();
    known(&mut endpoints, &[9]).await;
    assert_eq!(registry.members().await.unwrap().len(), 1);
    assert_eq!(log.alerts("registry_entry_invalid"), 1, "one line for a flood");
}

#[tokio::test]
async fn what_can_not_be_registered_is_refused() {
    let registry = Registry::open("etcd://127.0.0.1:1/x", None).unwrap();
    for (id, address) in [("a/b", "h:1"), ("", "h:1"), ("a", "h"), ("a", "h:1\n")] {
        let entry = Entry { address: address.to_owned(), version: String::new() };
        assert!(registry.register(id, &entry, SHORT, well()).is_err(), "{id:?} {address:?}");
    }
    assert!(Registry::open("tcp://127.0.0.1:1", None).is_err());
}

/// A server that says its own port to everybody.
async fn server_of_its_port() -> u16 {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let answer = service_fn(move |_| async move {
                Ok::<_, std::convert::Infallible>(hyper::Response::new(whole(port.to_string().into())))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), answer));
        }
    });
    port
}

#[tokio::test]
async fn calls_go_where_the_registry_says() {
    let server = Server::start().await;
    let registry = registry(&server);
    let (one, two) = (server_of_its_port().await, server_of_its_port().await);
    let place = server.url(PREFIX).parse::<Place>().unwrap();
    let http = Arc::new(Http::each_at(&[(Service::Compute, place)], &Reach::default()).unwrap());
    let ctx = crate::context(http.clone(), None);
    let ask = async || http.json::<u16>(&ctx, "GET", "/compute/v1/instance", None::<&()>).await;
    assert!(matches!(ask().await, Err(Error::Unavailable { .. })), "nobody is registered yet");
    let first = register(&registry, "c-1", one);
    registered(&registry, &["c-1"]).await;
    assert_eq!(ask().await.unwrap(), one);
    let _second = register(&registry, "c-2", two);
    within("the second takes part", async { while ask().await.unwrap() != two {} }).await;
    first.stop().await;
    within("the first gets no more", async { while (ask().await.unwrap(), ask().await.unwrap()) != (two, two) {} })
        .await;
}
