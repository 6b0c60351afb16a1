//! Callers whose connections are cut at any byte of what they send or hear, who all send the same again, and a control
//! plane that is killed meanwhile.

use crate::{
    books,
    kit::{LIMIT, Site, until},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

const COUNT: usize = 1000;
const CALLERS: u64 = 3;
const KILLS: usize = 20;
/// What decides where things are cut.
const SEED: u64 = 41;

/// What is to be made, and what was answered.
struct Wishes {
    address: String,
    token: String,
    template: Value,
    /// The whole answers, by the number of the wish.
    answers: Mutex<BTreeMap<usize, BTreeSet<String>>>,
    answered: AtomicUsize,
}

impl Wishes {
    fn request(&self, n: usize) -> Vec<u8> {
        let mut body = self.template.clone();
        body["name"] = json!(format!("torn-{n:04}"));
        let body = body.to_string();
        let (address, token, length) = (&self.address, &self.token, body.len());
        format!(
            "POST /compute/v1/instance HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Idempotency-Key: torn-{n}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
    /// Sends a wish, and reads the answer; only so many bytes of the two together.
    fn send(&self, n: usize, bytes: usize) -> Option<String> {
        let request = self.request(n);
        let mut link = TcpStream::connect(&self.address).ok()?;
        link.set_read_timeout(Some(LIMIT)).unwrap();
        link.write_all(&request[..bytes.min(request.len())]).ok()?;
        let mut answer = Vec::new();
        let rest = u64::try_from(bytes.saturating_sub(request.len())).unwrap();
        (&mut link).take(rest).read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        let whole = body.len() == length && head.starts_with("HTTP/1.1 202");
        whole.then(|| serde_json::from_str::<Value>(body).unwrap()["id"].as_str().unwrap().to_owned())
    }
    /// Sends each wish one to five times, cut anywhere, and once more until there is a whole answer.
    fn wish_for_all(&self, caller: u64) {
        let mut chance = fastrand::Rng::with_seed(SEED + caller);
        let mut order: Vec<usize> = (0..COUNT).collect();
        chance.shuffle(&mut order);
        for n in order {
            let most = self.request(n).len() + 2000;
            for _ in 0..chance.usize(0..5) {
                if let Some(id) = self.send(n, chance.usize(0..most)) {
                    self.tell(n, id);
                }
            }
            let id = until(LIMIT, "the wish is answered", || self.send(n, usize::MAX));
            self.tell(n, id);
            self.answered.fetch_add(1, Relaxed);
        }
    }
    fn tell(&self, n: usize, id: String) {
        self.answers.lock().unwrap().entry(n).or_default().insert(id);
    }
}

#[test]
fn cut_off_at_any_byte_and_killed_twenty_times_it_makes_each_instance_once() {
    // the machines are lost with the process that simulates them, so what is counted is what the site has of each wish
    let mut site = Site::simulated(16);
    site.allow(&["an action failed", "no orders from the control plane"]);
    let template = json!({"flavor_id": site.id("flavor", "tiny"), "image_id": site.id("image", "demo")});
    let token = site.cirro(&["token"]).out.trim().to_owned();
    let (address, answers) = (site.address.clone(), Mutex::default());
    let wishes = Wishes { address, token, template, answers, answered: AtomicUsize::new(0) };
    let all = COUNT * usize::try_from(CALLERS).unwrap();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let wishes = &wishes;
            scope.spawn(move || wishes.wish_for_all(caller));
        }
        for kill in 1..=KILLS {
            // spread over the whole work
            let due = all * kill / (KILLS + 1);
            until(LIMIT, "the callers get on", || (wishes.answered.load(Relaxed) >= due).then_some(()));
            site.kill();
            site.start();
        }
    });
    let answers = wishes.answers.into_inner().unwrap();
    assert_eq!(answers.len(), COUNT);
    assert!(answers.values().all(|ids| ids.len() == 1), "one wish was answered as several instances");
    let ids: BTreeSet<&String> = answers.values().flatten().collect();
    assert_eq!(ids.len(), COUNT, "several wishes were answered as one instance");
    let count = |which: &str| site.number("compute", &format!("SELECT count(*) FROM instance {which}"));
    assert_eq!(count(""), i64::try_from(COUNT).unwrap());
    until(LIMIT, "all of them run", || (count("WHERE status = 'running'") == count("")).then_some(()));
    books::agree(&site, 1000, 1, 96);
    site.stop();
}
