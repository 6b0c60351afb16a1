//! Taking an endpoint out and probing it back, with paused time.

use super::{EjectLayer, EjectMetrics, EjectParams, Health, Standing};
use crate::{
    request::{Fault, Reply, Sending},
    testkit::{Log, get, reply},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{advance, timeout};
use tower::{Layer, ServiceExt, service_fn};

fn health() -> Arc<Health> {
    Health::new("http://a:1".into(), EjectParams::default(), Arc::new(EjectMetrics::default()))
}

/// One call through the layer that ends so.
async fn ends(health: &Arc<Health>, answer: Result<u16, Fault>) {
    let below = service_fn(move |_: Sending| {
        let answer = answer.clone().map(reply);
        async move { answer }
    });
    let _answer: Result<Reply, Fault> = EjectLayer(health.clone()).layer(below).oneshot(get()).await;
}

fn refused() -> Result<u16, Fault> {
    Err(Fault::Connect { endpoint: "a:1".into(), cause: "refused".to_owned() })
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_take_it_out_and_alert() {
    let (log, health) = (Log::start(), health());
    for answer in [refused(), refused(), Ok(500), refused(), refused()] {
        ends(&health, answer).await;
        assert_eq!(health.standing(), Standing::Up);
    }
    ends(&health, refused()).await;
    assert_eq!(health.standing(), Standing::Down);
    assert_eq!(log.alerts("client_endpoint_ejected"), 1);
    assert_eq!(health.metrics.ejections.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_probed_by_one_call_and_each_failed_probe_doubles_the_while() {
    let (health, params) = (health(), EjectParams::default());
    for _ in 0..params.failures {
        ends(&health, refused()).await;
    }
    let mut length = params.shortest;
    for _ in 0..8 {
        advance(length / 2).await;
        assert_eq!(health.standing(), Standing::Down);
        advance(length / 2).await;
        assert_eq!(health.standing(), Standing::Due);
        health.probe();
        assert_eq!(health.standing(), Standing::Down, "one probe at a time");
        ends(&health, refused()).await;
        assert_eq!(health.standing(), Standing::Down);
        length = (length * 2).min(params.longest);
    }
    advance(params.longest).await;
    health.probe();
    ends(&health, Ok(503)).await;
    assert_eq!(health.standing(), Standing::Up, "any answer is one");
    assert_eq!(health.metrics.returns.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_endpoint_fails_at_the_deadline_and_a_caller_that_leaves_proves_nothing() {
    for (waits, standing) in [(60, Standing::Down), (1, Standing::Up)] {
        let health = health();
        let below = service_fn(|_: Sending| std::future::pending::<Result<Reply, Fault>>());
        for _ in 0..3 {
            let call = EjectLayer(health.clone()).layer(below).oneshot(get());
            assert!(timeout(Duration::from_secs(waits), call).await.is_err());
        }
        assert_eq!(health.standing(), standing);
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_can_be_made_again() {
    let health = health();
    for _ in 0..3 {
        ends(&health, refused()).await;
    }
    advance(EjectParams::default().shortest).await;
    health.probe();
    ends(&health, Err(Fault::Saturated { endpoint: "a:1".into(), cause: "full" })).await;
    assert_eq!(health.standing(), Standing::Due);
}
