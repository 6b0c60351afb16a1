//! Which endpoints get calls as they come, go, fail and return.

use super::{Balance, BalanceMetrics, BalanceParams, Endpoint};
use crate::{
    address::Address,
    discovery::Endpoints,
    eject::{EjectLayer, EjectMetrics, EjectParams, Health},
    request::{Fault, Reply, Sending, Step},
    testkit::{get, reply, request},
};
use hyper::Method;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::advance};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Endpoints that answer at once, except those that are dead; and what each was asked.
#[derive(Default)]
struct Site {
    asked: Mutex<BTreeMap<String, usize>>,
    dead: Mutex<BTreeSet<String>>,
}

fn addresses(ports: impl IntoIterator<Item = u16>) -> Arc<[Address]> {
    ports.into_iter().map(|port| Address::new("a", port, false).unwrap()).collect()
}

fn balance(site: &Arc<Site>, known: Endpoints) -> impl Step + use<> {
    let site = site.clone();
    let make = move |address: &Address| {
        let (site, name): (_, Arc<str>) = (site.clone(), address.to_string().into());
        let health = Health::new(name.clone(), EjectParams::default(), Arc::new(EjectMetrics::default()));
        let below = service_fn(move |_: Sending| {
            *site.asked.lock().entry(name.to_string()).or_default() += 1;
            let dead = site.dead.lock().contains(&*name);
            let fault = Fault::Connect { endpoint: name.clone(), cause: "refused".to_owned() };
            async move { if dead { Err(fault) } else { Ok(reply(200)) } }
        });
        Endpoint::new(address.clone(), health.clone(), EjectLayer(health).layer(below))
    };
    let metrics = Arc::new(BalanceMetrics::default());
    Balance::new("compute".into(), known, Box::new(make), &BalanceParams::default(), metrics)
}

impl Site {
    fn taken(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.asked.lock())
    }
}

async fn calls(stack: &(impl Service<Sending, Response = Reply, Error = Fault> + Clone), count: usize) {
    for _ in 0..count {
        let _answer = stack.clone().oneshot(get()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn idle_endpoints_take_turns_and_changes_are_followed() {
    let site = Arc::new(Site::default());
    let (known, follow) = watch::channel(addresses(1..=3));
    let stack = balance(&site, Endpoints::of(follow));
    calls(&stack, 30).await;
    assert_eq!(site.taken().into_values().collect::<Vec<_>>(), [10, 10, 10]);
    known.send_replace(addresses([2, 4]));
    calls(&stack, 30).await;
    let taken = site.taken();
    assert_eq!(taken.keys().collect::<Vec<_>>(), ["http://a:2", "http://a:4"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_gets_probes_only_and_takes_part_again_when_it_answers() {
    let site = Arc::new(Site::default());
    let stack = balance(&site, Endpoints::fixed(addresses(1..=2).to_vec()));
    site.dead.lock().insert("http://a:1".to_owned());
    calls(&stack, 50).await;
    assert_eq!(site.taken()["http://a:1"], 3, "the failures that took it out");
    advance(Duration::from_secs(1)).await;
    calls(&stack, 50).await;
    assert_eq!(site.taken()["http://a:1"], 1, "one probe");
    advance(Duration::from_secs(2)).await;
    for _ in 0..5 {
        stack.clone().oneshot(request(Method::POST)).await.ok().unwrap();
    }
    assert!(!site.taken().contains_key("http://a:1"), "what may not run twice is no probe");
    site.dead.lock().clear();
    calls(&stack, 51).await;
    assert_eq!(site.taken()["http://a:1"], 26);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_down_they_are_used_all_the_same() {
    let site = Arc::new(Site::default());
    let stack = balance(&site, Endpoints::fixed(addresses(1..=2).to_vec()));
    site.dead.lock().extend(["http://a:1".to_owned(), "http://a:2".to_owned()]);
    calls(&stack, 20).await;
    assert_eq!(site.taken().values().sum::<usize>(), 20);
    site.dead.lock().clear();
    assert!(stack.clone().oneshot(get()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn another_try_goes_elsewhere() {
    let site = Arc::new(Site::default());
    let stack = balance(&site, Endpoints::fixed(addresses(1..=3).to_vec()));
    for _ in 0..9 {
        let mut again = get();
        again.tried.extend(["http://a:1".into(), "http://a:3".into()]);
        stack.clone().oneshot(again).await.ok().unwrap();
    }
    assert_eq!(site.taken().keys().collect::<Vec<_>>(), ["http://a:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_a_little_for_the_first_endpoint() {
    let site = Arc::new(Site::default());
    let (known, follow) = watch::channel(addresses([]));
    let stack = balance(&site, Endpoints::of(follow));
    let nobody = stack.clone().oneshot(get()).await;
    assert!(matches!(nobody, Err(Fault::Empty { .. })));
    let waiting = tokio::spawn(stack.clone().oneshot(get()));
    advance(Duration::from_secs(1)).await;
    known.send_replace(addresses([1]));
    assert!(waiting.await.unwrap().is_ok());
}
