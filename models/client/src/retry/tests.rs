//! What is sent again, how often, and when no more.

use super::{RetryLayer, RetryMetrics, RetryParams};
use crate::{
    request::{Fault, Payload, Reply, Sending, Wanted, whole},
    testkit::{Log, get, keyed, reply, request},
};
use hyper::{Method, header::RETRY_AFTER};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

/// Sends once through the layer, below which these answers come one after the other; tells how many were taken.
async fn through(sending: Sending, answers: Vec<Result<Reply, Fault>>) -> (Result<Reply, Fault>, usize) {
    let (given, left) = (answers.len(), Arc::new(Mutex::new(VecDeque::from(answers))));
    let below = left.clone();
    let below = service_fn(move |_: Sending| {
        let answer = below.lock().pop_front().unwrap();
        async move { answer }
    });
    let layer = RetryLayer::new(&RetryParams::default(), Arc::new(RetryMetrics::default()));
    let answer = layer.layer(below).oneshot(sending).await;
    let taken = given - left.lock().len();
    (answer, taken)
}

fn refused() -> Result<Reply, Fault> {
    Err(Fault::Connect { endpoint: "a:1".into(), cause: "refused".to_owned() })
}

fn broken() -> Result<Reply, Fault> {
    Err(Fault::Broken { endpoint: "a:1".into(), cause: "reset".to_owned() })
}

fn busy(seconds: &'static str) -> Reply {
    let mut reply = reply(503);
    reply.headers.insert(RETRY_AFTER, seconds.parse().unwrap());
    reply
}

#[tokio::test(start_paused = true)]
async fn only_what_may_run_twice_is_sent_twice() {
    let batch = || {
        let mut sending = request(Method::POST);
        sending.path = "/images/v1/machineimage/batch".parse().unwrap();
        sending
    };
    let again = [get(), request(Method::PUT), request(Method::DELETE), keyed(), batch()];
    for sending in again {
        let (answer, tries) = through(sending, vec![broken(), refused(), Ok(reply(200))]).await;
        assert_eq!((answer.unwrap().status.as_u16(), tries), (200, 3));
    }
    let upload = || {
        let mut sending = request(Method::PUT);
        sending.payload = Payload::Stream(whole(bytes::Bytes::new()));
        sending
    };
    let download = || {
        let mut sending = get();
        sending.wanted = Wanted::Stream;
        sending
    };
    for sending in [request(Method::POST), request(Method::PATCH), upload(), download()] {
        let (answer, tries) = through(sending, vec![refused(), Ok(reply(200))]).await;
        assert!(matches!(answer, Err(Fault::Connect { .. })));
        assert_eq!(tries, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn only_some_statuses_are_worth_another_try() {
    for (status, tries) in [(502, 3), (503, 3), (504, 3), (500, 1), (429, 1), (404, 1), (409, 1), (200, 1)] {
        let (answer, taken) = through(get(), (0..3).map(|_| Ok(reply(status))).collect()).await;
        assert_eq!((answer.unwrap().status.as_u16(), taken), (status, tries));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_within_the_deadline_only() {
    let start = Instant::now();
    let (answer, _) = through(get(), vec![Ok(busy("7")), Ok(reply(200))]).await;
    assert_eq!(answer.unwrap().status.as_u16(), 200);
    assert_eq!(start.elapsed(), Duration::from_secs(7));
    let (answer, tries) = through(get(), vec![Ok(busy("61")), Ok(reply(200))]).await;
    assert_eq!((answer.unwrap().status.as_u16(), tries), (503, 1), "the answer stands, at once");
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_may_have_worked_before_is_done() {
    let delete = || request(Method::DELETE);
    let status = |answer: Result<Reply, Fault>| answer.unwrap().status.as_u16();
    assert_eq!(status(through(delete(), vec![broken(), Ok(reply(404))]).await.0), 204);
    assert_eq!(status(through(delete(), vec![refused(), Ok(reply(404))]).await.0), 404, "the first never arrived");
    assert_eq!(status(through(delete(), vec![Ok(reply(404))]).await.0), 404);
    let repeated = Reply { repeated: true, ..reply(404) };
    assert_eq!(status(through(delete(), vec![Ok(repeated)]).await.0), 204);
    assert_eq!(status(through(get(), vec![broken(), Ok(reply(404))]).await.0), 404);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_down_gets_at_most_a_fifth_more_and_an_alert_says_so() {
    let log = Log::start();
    let (metrics, sent) = (Arc::new(RetryMetrics::default()), Arc::new(Mutex::new((0u32, true))));
    let state = sent.clone();
    let below = service_fn(move |_: Sending| {
        let mut state = state.lock();
        state.0 += 1;
        let up = state.1;
        async move { if up { Ok(reply(200)) } else { refused() } }
    });
    let stack = RetryLayer::new(&RetryParams::default(), metrics.clone()).layer(below);
    let rounds = |calls: u32| {
        let stack = stack.clone();
        async move {
            for _ in 0..calls {
                // 100 calls a second, each on its own
                tokio::time::advance(Duration::from_millis(10)).await;
                let _answer = tokio::spawn(stack.clone().oneshot(get()));
            }
        }
    };
    rounds(5000).await;
    *sent.lock() = (0, false);
    rounds(1000).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let extra = f64::from(sent.lock().0) / 1000.0 - 1.0;
    println!("extra load on a peer that has been down for 10 s: {:.1} %", extra * 100.0);
    assert!((0.05..=0.2).contains(&extra), "{extra}");
    assert_eq!(log.alerts("client_retry_budget_exhausted"), 1);
    assert!(metrics.refused.get() > 0);
}
