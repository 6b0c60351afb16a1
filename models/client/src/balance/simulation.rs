//! What balancing does with 2, 5 and 100 endpoints, all well, one slow, one dead: the real balancer and ejection over
//! simulated endpoints in paused time. `cargo test -p cirro-client simulation -- --nocapture` shows the table.

use super::{ApertureParams, Balance, BalanceMetrics, BalanceParams, Endpoint};
use crate::{
    address::Address,
    discovery::Endpoints,
    eject::{EjectLayer, EjectMetrics, EjectParams, Health},
    request::{Fault, Sending, Step},
    retry::{RetryLayer, RetryMetrics, RetryParams},
    testkit::{get, reply},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::{Layer, ServiceExt, service_fn};

/// How long an endpoint works on a call, and how long the slow one does.
const WORK: (Duration, Duration) = (Duration::from_millis(60), Duration::from_secs(2));
/// Calls in each run, one every 2 ms: 30 under way when all is well.
const CALLS: usize = 5000;

#[derive(Clone, Copy, PartialEq, Debug)]
enum First {
    Well,
    Slow,
    Dead,
}

#[derive(Default)]
struct One {
    calls: AtomicUsize,
    underway: AtomicUsize,
    most: AtomicUsize,
}

struct Row {
    endpoints: usize,
    first: First,
    aperture: bool,
    used: usize,
    share: f64,
    most: usize,
    p50: Duration,
    p99: Duration,
    failed: usize,
}

/// The way to simulated endpoints, of which the first is as said.
fn site(seen: &Arc<Vec<One>>, first: First, aperture: bool) -> impl Step + use<> {
    let (count, seen) = (seen.len(), seen.clone());
    let addresses = (1..=count).map(|port| Address::new("a", u16::try_from(port).unwrap(), false).unwrap()).collect();
    let make = move |address: &Address| {
        let (seen, place) = (seen.clone(), usize::from(address.port()) - 1);
        let kind = if place == 0 { first } else { First::Well };
        let name: Arc<str> = address.to_string().into();
        let health = Health::new(name.clone(), EjectParams::default(), Arc::new(EjectMetrics::default()));
        let below = service_fn(move |_: Sending| {
            let (seen, name) = (seen.clone(), name.clone());
            async move {
                let one = &seen[place];
                one.calls.fetch_add(1, Relaxed);
                if kind == First::Dead {
                    return Err(Fault::Connect { endpoint: name, cause: "refused".to_owned() });
                }
                one.most.fetch_max(one.underway.fetch_add(1, Relaxed) + 1, Relaxed);
                sleep(if kind == First::Slow { WORK.1 } else { WORK.0 }).await;
                one.underway.fetch_sub(1, Relaxed);
                Ok(reply(200))
            }
        });
        Endpoint::new(address.clone(), health.clone(), EjectLayer(health).layer(below))
    };
    let params = BalanceParams { aperture: aperture.then(ApertureParams::default), ..BalanceParams::default() };
    let metrics = Arc::new(BalanceMetrics::default());
    let balance = Balance::new("compute".into(), Endpoints::fixed(addresses), Box::new(make), &params, metrics);
    RetryLayer::new(&RetryParams::default(), Arc::new(RetryMetrics::default())).layer(balance)
}

async fn run(endpoints: usize, first: First, aperture: bool) -> Row {
    let seen: Arc<Vec<One>> = Arc::new((0..endpoints).map(|_| One::default()).collect());
    let (stack, mut calls) = (site(&seen, first, aperture), JoinSet::new());
    for _ in 0..CALLS {
        let (stack, start) = (stack.clone(), Instant::now());
        calls.spawn(async move { stack.oneshot(get()).await.is_ok().then(|| start.elapsed()) });
        sleep(Duration::from_millis(2)).await;
    }
    let ended = calls.join_all().await;
    let mut took: Vec<_> = ended.iter().flatten().copied().collect();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let counts = || seen.iter().map(|one| one.calls.load(Relaxed));
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let share = seen[0].calls.load(Relaxed) as f64 / CALLS as f64 * 100.0;
    Row {
        endpoints,
        first,
        aperture,
        used: counts().filter(|calls| *calls > 0).count(),
        share,
        most: seen.iter().map(|one| one.most.load(Relaxed)).max().unwrap_or(0),
        p50: at(50),
        p99: at(99),
        failed: ended.len() - took.len(),
    }
}

#[tokio::test(start_paused = true)]
async fn simulation() {
    println!(
        "{:>9} {:>6} {:>12} {:>5} {:>9} {:>8} {:>8} {:>8} {:>7}",
        "endpoints", "first", "balance", "used", "first gets", "most load", "p50", "p99", "failed"
    );
    for endpoints in [2, 5, 100] {
        for first in [First::Well, First::Slow, First::Dead] {
            for aperture in [false, true] {
                let row = run(endpoints, first, aperture).await;
                show(&row);
                check(&row);
            }
        }
    }
}

fn show(row: &Row) {
    let (first, balance) =
        (format!("{:?}", row.first).to_lowercase(), if row.aperture { "aperture" } else { "least-loaded" });
    let (p50, p99) = (row.p50.as_millis(), row.p99.as_millis());
    let (share, most) = (row.share, row.most);
    println!(
        "{:>9} {first:>6} {balance:>12} {:>5} {share:>8.1} % {most:>8} {p50:>5} ms {p99:>5} ms {:>7}",
        row.endpoints, row.used, row.failed
    );
}

fn check(row: &Row) {
    assert_eq!(row.failed, 0, "a failed try found another endpoint");
    assert!(row.p50 < WORK.0 * 2);
    if row.first == First::Dead {
        assert!(row.share <= 1.0, "failures until it is out, then probes: {} %", row.share);
        assert!(row.p99 < Duration::from_millis(200));
    }
    if row.first == First::Slow {
        // an aperture may begin with it as one of two, and then only it and one other have the load for a while
        let fair = 100.0 / f64::from(u32::try_from(row.endpoints.min(20)).unwrap());
        assert!(row.share <= fair, "it gets less than its part: {} %", row.share);
    }
    if row.aperture && row.endpoints == 100 && row.first == First::Well {
        assert!((10..=30).contains(&row.used), "30 calls under way need about 15 endpoints, not {}", row.used);
    }
    if !row.aperture && row.endpoints < 100 {
        assert_eq!(row.used, row.endpoints);
    }
}
