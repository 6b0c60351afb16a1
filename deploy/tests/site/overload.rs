//! Ten times as many requests as the site can take: what it takes it finishes, and the others are told when to come again.

use crate::{
    books,
    kit::{LIMIT, Site, until},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// How long it is found out what the site can take, 16 at a time.
const TRIAL: Duration = Duration::from_secs(3);
/// How long it gets ten times of that.
const FLOOD: Duration = Duration::from_secs(30);
const TIMES: f64 = 10.0;

/// A plain client that sends nothing twice, and keeps connections.
struct Client {
    address: String,
    token: String,
    template: Value,
    made: AtomicUsize,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// One create: the status, and whether the answer says when to come again.
    async fn create(&self) -> (u16, bool) {
        let kept = self.idle.lock().unwrap().pop().filter(|link| !link.is_closed());
        let mut link = if let Some(link) = kept {
            link
        } else {
            let stream = TokioIo::new(TcpStream::connect(&self.address).await.unwrap());
            let (link, connection) = handshake(stream).await.unwrap();
            tokio::spawn(connection);
            link
        };
        let mut body = self.template.clone();
        body["name"] = json!(format!("flood-{:06}", self.made.fetch_add(1, Relaxed)));
        let request = Request::post("/compute/v1/instance")
            .header("host", &self.address)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        link.ready().await.unwrap();
        let answer = link.send_request(request).await.unwrap();
        let (status, again) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        answer.into_body().collect().await.unwrap();
        self.idle.lock().unwrap().push(link);
        (status, again)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_sustainable_rate_is_told_to_come_again_and_what_is_taken_is_finished() {
    let mut site = Site::prepared(&["--no-agent", "--simulate", "4", "--node-vcpus", "4096"]);
    site.start();
    site.cirro(&["project", "update", "default", "--max-instances", "1000000", "--max-vcpus", "1000000"]).text();
    site.cirro(&["project", "update", "default", "--max-memory", "500TiB"]).text();
    until(LIMIT, "the nodes are ready", || {
        (site.number("compute", "SELECT count(*) FROM node WHERE status = 'ready'") == 4).then_some(())
    });
    let client = Arc::new(Client {
        address: site.address.clone(),
        token: site.cirro(&["token"]).out.trim().to_owned(),
        template: json!({"flavor_id": site.id("flavor", "tiny"), "image_id": site.id("image", "demo")}),
        made: AtomicUsize::new(0),
        idle: Mutex::default(),
    });

    let (begun, trial) = (Instant::now(), client.clone());
    let callers = (0..16).map(|_| async {
        while begun.elapsed() < TRIAL {
            assert_eq!(trial.create().await.0, 202);
        }
    });
    futures_util::future::join_all(callers).await;
    let before = u32::try_from(client.made.load(Relaxed)).unwrap();
    let (sustained, before) = (f64::from(before) / begun.elapsed().as_secs_f64(), i64::from(before));

    // callers, services and simulated machines share two cores: then orders come late, too
    site.allow(&["no orders from the control plane", "failed 3 times in a row"]);
    let (begun, mut calls) = (Instant::now(), Vec::new());
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / (sustained * TIMES)));
    while begun.elapsed() < FLOOD {
        // arrivals do not wait for answers; where the machine is late, they come together
        tick.tick().await;
        let client = client.clone();
        calls.push(tokio::spawn(async move { client.create().await }));
    }
    let mut answers: BTreeMap<(u16, bool), i64> = BTreeMap::new();
    for call in calls {
        *answers.entry(call.await.unwrap()).or_default() += 1;
    }
    println!("{sustained:.0} a second were taken one after the other; of ten times as many: {answers:?}");
    let taken = answers.remove(&(202, false)).unwrap();
    assert!(answers.remove(&(429, true)).is_some_and(|told| told > 0), "nobody was told to come again");
    assert!(answers.is_empty(), "something else was answered: {answers:?}");

    let count = |which: &str| site.number("compute", &format!("SELECT count(*) FROM instance {which}"));
    assert_eq!(count(""), before + taken, "what was taken is there, and nothing else");
    until(LIMIT, "all of them run", || (count("WHERE status = 'running'") == count("")).then_some(()));
    books::agree(&site, count(""), 1, 96);
    site.stop();
}
