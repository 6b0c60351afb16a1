//! Measures 1000 domains on libvirt's own test driver: ordered from the agent until the control plane has heard that all run,
//! beside define and create of the same domains by hand, in a loop. `test_driver_time [COUNT]`
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that can't go on has nothing to say")]

#[path = "../tests/bare/mod.rs"]
#[allow(unreachable_pub, missing_docs, reason = "shared with a test")]
mod bare;

use bare::spec;
use cirro_models::{
    Id,
    compute::{Node, assignment::InstanceSpec, instance::InstanceStatus},
};
use cirro_node_agent::test_driver::{TestDriver, to_element};
use cirro_node_agent_core::{
    agent::{Agent, Settings},
    desk::Desk,
    guest::Mark,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use virt::{connect::Connect, domain::Domain};

const URI: &str = "test:///default";
/// Odd, so that a median is a measurement.
const ROUNDS: usize = 5;
/// The most that an agent does at once.
const AT_ONCE: usize = 64;

/// With an agent that has begun and waits for orders.
async fn by_agent(count: usize, node: Id<Node>) -> Duration {
    let desk = Arc::new(Desk::new(None));
    let driver = TestDriver::new(node, URI).unwrap();
    let settings = Settings { concurrency: AT_ONCE, ..Settings::default() };
    let agent = tokio::spawn(Agent::new(desk.clone(), Arc::new(driver), settings).run(std::future::pending()));
    let limit = Duration::from_mins(2);
    desk.wait("the agent's first report", limit, |papers| papers.node.as_ref().map(drop)).await.unwrap();
    let specs: Vec<InstanceSpec> = (0..count).map(spec).collect();
    let begin = Instant::now();
    desk.with(|papers| papers.specs.extend(specs.into_iter().map(|spec| (spec.id, spec))));
    let all = desk.wait("all run", limit, |papers| {
        let running = papers.seen.values().filter(|seen| seen.status == InstanceStatus::Running).count();
        (running == count).then_some(())
    });
    all.await.unwrap();
    let took = begin.elapsed();
    agent.abort();
    took
}

fn by_hand(libvirt: &Connect, count: usize, node: Id<Node>) -> Duration {
    let specs: Vec<InstanceSpec> = (0..count).map(spec).collect();
    let begin = Instant::now();
    for spec in &specs {
        let xml = to_element(spec, &Mark::of(spec), node).write().unwrap();
        Domain::define_xml(libvirt, &xml).unwrap().create().unwrap();
    }
    begin.elapsed()
}

/// Nothing of a round is left for the next one.
fn clear(libvirt: &Connect) {
    for domain in libvirt.list_all_domains(0).unwrap() {
        if domain.is_active().unwrap() {
            domain.destroy().unwrap();
        }
        domain.undefine().unwrap();
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let count = std::env::args().nth(1).map_or(1000, |count| count.parse().expect("COUNT is a number"));
    let (mut agent, mut hand) = (Vec::new(), Vec::new());
    // connected throughout: the driver forgets everything with its last connection
    let libvirt = Connect::open(Some(URI)).unwrap();
    for _ in 0..ROUNDS {
        let node = Id::new();
        hand.push(by_hand(&libvirt, count, node));
        clear(&libvirt);
        agent.push(by_agent(count, node).await);
        clear(&libvirt);
    }
    println!("domains {count} {} {}", median(agent).as_millis(), median(hand).as_millis());
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
