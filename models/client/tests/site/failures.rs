//! What callers see while servers go and come.

use crate::{connections::ask, server::Server};
use cirro_client::{Http, Place, Reach, context};
use cirro_models::{Error, Service};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

fn of(servers: &[&Server]) -> Arc<Http> {
    let list: Vec<_> = servers.iter().map(|server| server.address()).collect();
    let place = format!("tcp://{}", list.join(",")).parse::<Place>().unwrap();
    Arc::new(Http::each_at(&[(Service::Compute, place)], &Reach::default()).unwrap())
}

#[tokio::test]
async fn a_server_that_dies_is_not_noticed_and_one_that_returns_is_used() {
    let (first, second) = (Server::plain().await, Server::plain().await);
    let http = of(&[&first, &second]);
    for _ in 0..20 {
        ask(&http).await.unwrap();
    }
    assert_eq!((first.seen.requests.load(SeqCst), second.seen.requests.load(SeqCst)), (10, 10));
    let port = first.stop().await;
    for _ in 0..200 {
        ask(&http).await.unwrap();
    }
    assert_eq!(http.metrics().eject.ejections.get(), 1);
    let first = Server::again_at(port).await;
    // it is probed when its time has come: calls go on until then
    while first.seen.requests.load(SeqCst) < 5 {
        ask(&http).await.unwrap();
    }
    assert_eq!(http.metrics().eject.returns.get(), 1);
}

#[tokio::test]
async fn under_load_no_call_fails_when_a_server_is_killed_and_when_it_returns() {
    // half of them are under way to the one that dies: no more than the reserve of repetitions
    const CALLERS: usize = 30;
    let (first, second) = (Server::plain().await, Server::plain().await);
    let http = of(&[&first, &second]);
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (http, over) = (http.clone(), over.clone());
        callers.spawn(async move {
            let (mut calls, mut longest) = (0u32, Duration::ZERO);
            while !over.load(SeqCst) {
                let start = Instant::now();
                ask(&http).await.unwrap();
                calls += 1;
                longest = longest.max(start.elapsed());
            }
            (calls, longest)
        });
    }
    let served = async |server: &Server, more: usize| {
        let enough = server.seen.requests.load(SeqCst) + more;
        while server.seen.requests.load(SeqCst) < enough {
            tokio::task::yield_now().await;
        }
    };
    served(&first, 500).await;
    let port = first.stop().await;
    served(&second, 500).await;
    let first = Server::again_at(port).await;
    served(&first, 500).await;
    over.store(true, SeqCst);
    let ended = callers.join_all().await;
    let (calls, longest): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
    let retries = http.metrics().retry.retries.get();
    println!(
        "{} calls, 0 failed, {retries} repeated, the longest took {:?}",
        calls.iter().sum::<u32>(),
        longest.iter().max()
    );
}

/// A place that accepts connections and says this to whatever it is asked; saying nothing, it hangs.
async fn odd(says: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _read = tcp.read(&mut request).await;
            count.fetch_add(1, SeqCst);
            let _written = tcp.write_all(says).await;
            kept.push(tcp);
        }
    });
    (address, asked)
}

fn of_two(first: &str, second: &Server) -> Arc<Http> {
    let place = format!("tcp://{first},{}", second.address()).parse::<Place>().unwrap();
    Arc::new(Http::each_at(&[(Service::Compute, place)], &Reach::default()).unwrap())
}

#[tokio::test]
async fn one_that_answers_garbage_is_taken_out_and_nobody_notices() {
    let ((address, asked), good) = (odd(b"SSH-2.0-OpenSSH_9.2\r\n").await, Server::plain().await);
    let http = of_two(&address, &good);
    for _ in 0..50 {
        ask(&http).await.unwrap();
    }
    assert_eq!(http.metrics().eject.ejections.get(), 1);
    let probes = http.metrics().balance.probes.get();
    assert_eq!(u64::try_from(asked.load(SeqCst)).unwrap(), 3 + probes);
}

#[tokio::test]
async fn one_that_hangs_keeps_the_calls_that_it_has_and_gets_no_others() {
    let ((address, asked), good) = (odd(b"").await, Server::plain().await);
    let http = of_two(&address, &good);
    let mut first = JoinSet::new();
    for _ in 0..2 {
        let http = http.clone();
        first.spawn(async move { ask(&http).await.map(drop) });
    }
    first.join_next().await.unwrap().unwrap().unwrap();
    for _ in 0..50 {
        ask(&http).await.unwrap();
    }
    assert_eq!((first.len(), asked.load(SeqCst)), (1, 1), "one of the first two hangs until its deadline");
}

#[tokio::test]
async fn a_restart_between_two_calls_is_not_noticed() {
    let server = Server::plain().await;
    let http = of(&[&server]);
    ask(&http).await.unwrap();
    let port = server.stop().await;
    let server = Server::again_at(port).await;
    ask(&http).await.unwrap();
    assert_eq!(server.seen.requests.load(SeqCst), 1);
}

#[tokio::test]
async fn when_nobody_is_there_the_error_names_who_was_asked() {
    let port = Server::plain().await.stop().await;
    let http = Arc::new(Http::new(&format!("http://127.0.0.1:{port}"), None).unwrap());
    let error = ask(&http).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("http://127.0.0.1:{port} can't be reached")), "{error}");
}

#[tokio::test]
async fn what_may_not_run_twice_is_sent_once() {
    let server = Server::plain().await;
    server.seen.status.store(503, SeqCst);
    let http = of(&[&server]);
    let ctx = context(http.clone(), None);
    let post = |ctx: cirro_models::Context| {
        let http = http.clone();
        async move { http.answer(&ctx, "POST", "/compute/v1/instance", Some("{}".into()), &[]).await.unwrap().status }
    };
    assert_eq!(post(ctx.clone()).await, 503);
    assert_eq!(server.seen.requests.load(SeqCst), 1);
    assert_eq!(post(ctx.keyed("k")).await, 503);
    assert_eq!(server.seen.requests.load(SeqCst), 4);
}

#[tokio::test]
async fn a_service_that_nobody_named_is_said_so() {
    let server = Server::plain().await;
    let http = of(&[&server]);
    let ctx = context(http.clone(), None);
    let answer = http.answer(&ctx, "GET", "/images/v1/machineimage", None, &[]).await;
    assert!(matches!(answer, Err(Error::Internal { .. })));
}
