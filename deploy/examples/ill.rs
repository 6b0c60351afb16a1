//! How long calls take that do not need what is ill: 99 of 100, beside a quiet time just before. A site of two processes of
//! each service gets 50 calls a second from a plain client, while one of three ways to compute is slow, tells nonsense or
//! hangs, while etcd is away, and while nginx is reloaded. `deploy/bench` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what can't be measured ends the measurement")]
#![allow(dead_code, unreachable_pub, reason = "the tests' own site and load, of which this uses a part")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/many/kit.rs"]
mod kit;
#[path = "../tests/many/load.rs"]
mod load;
#[path = "../tests/many/postgres.rs"]
mod postgres;
#[path = "../tests/many/relay.rs"]
mod relay;

use common::{LIMIT, signal, until};
use kit::{Many, SERVICES};
use load::{Kind, Load, Outcome};
use relay::{Ill, Relay};
use std::time::{Duration, Instant};

/// Odd, so that a median is a measurement.
const ROUNDS: usize = 3;
/// How long each time of a round lasts: 500 calls.
const TIME: Duration = Duration::from_secs(10);
/// Reloads of nginx in one.
const RELOADS: u32 = 20;

/// What is ill, and which calls have nothing to do with it.
struct Case {
    name: &'static str,
    ill: fn(&mut Many, &Relay),
    well: fn(&mut Many, &Relay),
    concerned: fn(Kind) -> bool,
}

/// Nothing has to be done.
fn nothing(_: &mut Many, _: &Relay) {}

const CASES: [Case; 5] = [
    Case { name: "slow", ill: |_, way| way.is(Ill::Slow), well: |_, way| way.is(Ill::Not), concerned: others },
    Case { name: "nonsense", ill: |_, way| way.is(Ill::Nonsense), well: |_, way| way.is(Ill::Not), concerned: others },
    Case { name: "hangs", ill: |_, way| way.is(Ill::Hangs), well: |_, way| way.is(Ill::Not), concerned: others },
    Case { name: "etcd", ill: |site, _| site.etcd.stop(), well: |site, _| revive(site), concerned: |_| true },
    Case { name: "nginx", ill: nothing, well: nothing, concerned: |_| true },
];

/// Calls that go to other services than compute.
fn others(kind: Kind) -> bool {
    matches!(kind, Kind::Users | Kind::Volumes | Kind::Images)
}

fn revive(site: &mut Many) {
    site.etcd.revive();
    SERVICES.iter().for_each(|service| site.until_registered(service, if *service == "compute" { 3 } else { 2 }));
}

fn main() {
    let mut site = Many::start();
    let relay = Relay::start(&site.registry("compute"), &site.address("compute-1"));
    site.until_registered("compute", 3);
    // the first calls of all find everything cold
    time(&site, "warm");
    for case in CASES {
        let (mut quiet, mut ill, mut failed) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            let before = time(&site, "quiet");
            (case.ill)(&mut site, &relay);
            let outcomes = time(&site, case.name);
            (case.well)(&mut site, &relay);
            failed += outcomes.iter().filter(|outcome| !outcome.is_good() && outcome.kind.repeatable()).count();
            quiet.push(p99_ms(&before, case.concerned));
            ill.push(p99_ms(&outcomes, case.concerned));
        }
        println!("ill {} {:.1} {:.1} {failed}", case.name, median(quiet), median(ill));
    }
}

/// What becomes of the calls of one time.
fn time(site: &Many, name: &str) -> Vec<Outcome> {
    let load = Load::start(site.client());
    let (begun, mut reloads) = (Instant::now(), 0);
    until(LIMIT, "the time is over", || {
        if name == "nginx" && begun.elapsed() >= TIME * reloads / RELOADS && reloads < RELOADS {
            let nginx = std::fs::read_to_string(site.data("bus/nginx.pid")).unwrap().trim().parse().unwrap();
            signal("HUP", nginx);
            reloads += 1;
        }
        (begun.elapsed() >= TIME).then_some(())
    });
    load.stop(name)
}

/// The time that 99 of 100 of these calls stayed below, in milliseconds.
fn p99_ms(outcomes: &[Outcome], of: fn(Kind) -> bool) -> f64 {
    let of_these = outcomes.iter().filter(|outcome| of(outcome.kind));
    let mut took: Vec<f64> = of_these.map(|outcome| outcome.took.as_secs_f64() * 1e3).collect();
    took.sort_unstable_by(f64::total_cmp);
    took[took.len() * 99 / 100]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
