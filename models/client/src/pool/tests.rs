//! Watermarks, queue, age and reuse, with paused time and a peer in memory.

use super::{Pool, PoolMetrics, PoolParams};
use crate::{
    connect::Connect,
    request::{Fault, Payload, Reply, Sending, whole},
    testkit::{Log, Peer, get, keyed, request},
};
use futures_util::future::join_all;
use hyper::Method;
use proptest::prelude::*;
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};
use tokio::time::{advance, timeout};
use tower::ServiceExt;

type Tested = Pool<Connect>;

const MS: Duration = Duration::from_millis(1);

fn pool(peer: &Arc<Peer>, params: &PoolParams) -> Tested {
    Pool::new(&Peer::address(), peer.connect(), params, Arc::new(PoolMetrics::default()))
}

fn peer(peer: Peer) -> Arc<Peer> {
    Arc::new(peer)
}

async fn at_once(pool: &Tested, calls: usize) -> Vec<Result<Reply, Fault>> {
    join_all((0..calls).map(|_| pool.clone().oneshot(get()))).await
}

async fn call(pool: &Tested, sending: Sending) -> Result<Reply, Fault> {
    pool.clone().oneshot(sending).await
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_stay_below_the_high_watermark() {
    let peer = peer(Peer { work: 5 * MS, ..Peer::default() });
    let pool = pool(&peer, &PoolParams { high: 8, ..PoolParams::default() });
    assert!(at_once(&pool, 1000).await.iter().all(Result::is_ok));
    assert_eq!(peer.dialled.load(SeqCst), 8, "each connection was used again");
    assert_eq!(peer.most_open.load(SeqCst), 8);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_go_down_to_the_low_watermark_and_no_further() {
    let peer = peer(Peer { work: 5 * MS, ..Peer::default() });
    let params = PoolParams { low: 2, high: 8, ..PoolParams::default() };
    let pool = pool(&peer, &params);
    at_once(&pool, 50).await;
    assert_eq!(pool.inner.kept.len(), 8);
    tokio::time::sleep(params.idle * 3).await;
    assert_eq!(pool.inner.kept.len(), 2);
    assert_eq!(peer.open.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn http2_carries_many_calls_on_one_connection_and_takes_another_when_that_is_full() {
    let peer = peer(Peer { many: true, work: 5 * MS, ..Peer::default() });
    let pool = pool(&peer, &PoolParams { high: 4, streams: 50, ..PoolParams::default() });
    assert!(at_once(&pool, 50).await.iter().all(Result::is_ok));
    assert_eq!(peer.dialled.load(SeqCst), 1);
    assert!(at_once(&pool, 120).await.iter().all(Result::is_ok));
    assert_eq!(peer.dialled.load(SeqCst), 3);
    assert!(at_once(&pool, 1000).await.iter().all(Result::is_ok));
    assert_eq!(peer.dialled.load(SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_replaced() {
    for many in [false, true] {
        let peer = peer(Peer { many, ..Peer::default() });
        let params = PoolParams::default();
        let pool = pool(&peer, &params);
        for _ in 0..3 {
            call(&pool, get()).await.unwrap();
        }
        assert_eq!(peer.dialled.load(SeqCst), 1);
        advance(params.age).await;
        call(&pool, get()).await.unwrap();
        assert_eq!(peer.dialled.load(SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_alerts() {
    let log = Log::start();
    let peer = peer(Peer { work: 5 * MS, ..Peer::default() });
    let pool = pool(&peer, &PoolParams { high: 1, queue: 3, ..PoolParams::default() });
    let answers = at_once(&pool, 6).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4);
    assert!(matches!(answers[5], Err(Fault::Saturated { .. })));
    assert_eq!((log.alerts("client_pool_saturated"), log.alerts("client_queue_timeout")), (1, 0));
    assert_eq!(pool.inner.metrics.refusals.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_ends_and_alerts_and_a_pool_that_moves_is_not_locked() {
    let log = Log::start();
    let peer = peer(Peer { work: Duration::from_secs(3), ..Peer::default() });
    let pool = pool(&peer, &PoolParams { high: 1, ..PoolParams::default() });
    let answers = at_once(&pool, 3).await;
    assert!(matches!(answers[2], Err(Fault::Saturated { .. })));
    assert_eq!((log.alerts("client_queue_timeout"), log.alerts("client_pool_locked")), (1, 0));
    assert_eq!((pool.inner.metrics.timeouts.get(), pool.inner.metrics.waiting.get()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_calls_never_end_is_said_to_be_locked() {
    let log = Log::start();
    let peer = peer(Peer { work: Duration::from_secs(3600), ..Peer::default() });
    let pool = pool(&peer, &PoolParams { high: 1, ..PoolParams::default() });
    let hanging = tokio::spawn(pool.clone().oneshot(get()));
    tokio::task::yield_now().await;
    assert!(matches!(call(&pool, get()).await, Err(Fault::Saturated { .. })));
    assert_eq!(log.alerts("client_pool_locked"), 1);
    hanging.abort();
    let _aborted = hanging.await;
    peer.refuses.store(true, SeqCst);
    assert!(matches!(call(&pool, get()).await, Err(Fault::Connect { .. })), "an abandoned call gives its place back");
}

#[tokio::test(start_paused = true)]
async fn a_call_on_a_connection_that_closed_is_repeated_once_if_it_may_be() {
    for (sending, repeated) in [(get as fn() -> Sending, true), (keyed, true), (|| request(Method::POST), false)] {
        let peer = peer(Peer { closes_after_one: true.into(), ..Peer::default() });
        let pool = pool(&peer, &PoolParams::default());
        call(&pool, sending()).await.unwrap();
        let second = call(&pool, sending()).await;
        assert_eq!(second.is_ok_and(|reply| reply.repeated), repeated);
        assert_eq!(peer.dialled.load(SeqCst), 1 + usize::from(repeated));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_a_connection_that_closed_is_not_repeated() {
    let peer = peer(Peer { closes_after_one: true.into(), ..Peer::default() });
    let pool = pool(&peer, &PoolParams::default());
    call(&pool, get()).await.unwrap();
    let mut upload = request(Method::PUT);
    upload.payload = Payload::Stream(whole("half of it is gone".into()));
    assert!(matches!(call(&pool, upload).await, Err(Fault::Broken { .. })));
    assert_eq!((peer.dialled.load(SeqCst), peer.requests.load(SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_break_under_many_calls_of_one_connection_is_left_to_the_retries() {
    let peer = peer(Peer { many: true, breaks: true, work: 5 * MS, ..Peer::default() });
    let pool = pool(&peer, &PoolParams::default());
    let answers = at_once(&pool, 10).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(Fault::Broken { .. }))));
    assert_eq!(peer.dialled.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_connection_that_fails_does_not_knock_again() {
    let peer = peer(Peer { refuses: true.into(), ..Peer::default() });
    let pool = pool(&peer, &PoolParams::default());
    assert!(at_once(&pool, 20).await.iter().all(|answer| matches!(answer, Err(Fault::Connect { .. }))));
    assert_eq!(peer.dialled.load(SeqCst), 1);
    peer.refuses.store(false, SeqCst);
    assert!(call(&pool, get()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_time_that_is_left_is_told_at_the_moment_of_sending() {
    let peer = peer(Peer::default());
    let pool = pool(&peer, &PoolParams::default());
    let sending = get();
    advance(Duration::from_secs(20)).await;
    let crate::request::Content::Whole(said) = call(&pool, sending).await.unwrap().content else { panic!("a stream") };
    assert_eq!(&said[..], b"40000");
    let late = get();
    advance(Duration::from_secs(61)).await;
    assert!(matches!(call(&pool, late).await, Err(Fault::Late)));
    assert_eq!(peer.requests.load(SeqCst), 1, "nobody waits for it: it is not sent");
}

/// Calls of which some are given up, at any moment: afterwards every place is free again.
async fn given_up(many: bool, high: usize, patience: Vec<u64>) {
    let peer = peer(Peer { many, work: 5 * MS, ..Peer::default() });
    let params = PoolParams { high, streams: 2, ..PoolParams::default() };
    let pool = pool(&peer, &params);
    let calls = patience.iter().map(|ms| timeout(Duration::from_millis(*ms), pool.clone().oneshot(get())));
    join_all(calls).await;
    assert_eq!(pool.inner.metrics.waiting.get(), 0);
    // as many at once as there are places, with no time to wait for one
    let places = if many { 2 * high } else { high };
    let answers = join_all((0..places).map(|_| timeout(7 * MS, pool.clone().oneshot(get())))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(Result::is_ok)));
    assert!(pool.inner.kept.len() <= high);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn calls_that_are_given_up_give_their_places_back(
        many in any::<bool>(),
        high in 1usize..6,
        patience in proptest::collection::vec(0u64..40, 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(given_up(many, high, patience));
    }
}
