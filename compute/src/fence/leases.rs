//! Taking over from a node with a watchdog, played through: compute and the node have clocks that run at different rates, questions and
//! answers are lost or come late in any order, agents hang and are begun again, workers stall, and a node may be
//! marked at any moment, lost or not. The leases are the real ones ([`Lease`]), and so is the time that is waited for.
//!
//! What must hold after every event: the instance runs on one machine at most.

use super::watchdog::wait_for;
use cirro_node_agent_core::watchdog::Lease;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(30);

/// Parts of the protocol that keep the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// No lease is given while the node is marked.
    Refusal,
    /// A lease lasts from its question, not from its answer.
    Question,
    /// Only an agent without orders begins a tenure.
    Fresh,
    /// What is waited for is longer than a lease.
    Wait,
    /// Whoever begins to wait again waits for all of it.
    Again,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// Time goes by, in seconds.
    Tick(u8),
    /// The agent asks whether guests may go on, and compute is asked.
    AskLease,
    /// One of the answers that are on their way arrives.
    Lease(usize),
    AskOrders,
    Orders(usize),
    /// The agent does what it was told.
    Act,
    /// The agent is killed, and another one begins.
    Restart,
    /// A worker marks the node and waits, or begins to wait again.
    Mark,
    /// It gives up.
    GiveUp,
    /// It has waited for long enough, if it has.
    TakeOver,
    Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ready,
    Fencing,
    Fenced,
}

struct World {
    without: Option<Part>,
    /// By how much the node's clock is slower than compute's, in percent.
    slower: u64,
    now: Duration,
    lease: Lease,
    /// Which agent this is; its answers are its own.
    agent: u64,
    fresh: bool,
    orders: Option<bool>,
    running: bool,
    leases: Vec<(u64, Duration)>,
    told: Vec<(u64, bool)>,
    status: Status,
    taken: bool,
    waited_from: Option<Duration>,
}

impl World {
    fn new(slower: u64, without: Option<Part>) -> Self {
        Self {
            without,
            slower,
            now: Duration::ZERO,
            lease: Lease { within: WITHIN, until: None },
            agent: 0,
            fresh: true,
            orders: None,
            running: false,
            leases: Vec::new(),
            told: Vec::new(),
            status: Status::Ready,
            taken: false,
            waited_from: None,
        }
    }
    fn lacks(&self, part: Part) -> bool {
        self.without == Some(part)
    }
    fn node_now(&self) -> Duration {
        self.now * u32::try_from(100 - self.slower).unwrap_or(100) / 100
    }
    fn begin_anew(&mut self) {
        self.agent += 1;
        (self.fresh, self.orders) = (true, None);
    }
    fn play(&mut self, event: Event) {
        match event {
            Event::Tick(seconds) => self.now += Duration::from_secs(u64::from(seconds)),
            Event::AskLease if self.status != Status::Fencing || self.lacks(Part::Refusal) => {
                self.leases.push((self.agent, self.node_now()));
            }
            Event::Lease(n) if !self.leases.is_empty() => self.leased(n),
            Event::AskOrders if (!self.fresh || self.lacks(Part::Fresh)) && self.status != Status::Fencing => {
                self.told.push((self.agent, !self.taken));
            }
            Event::Orders(n) if !self.told.is_empty() => {
                let (agent, orders) = self.told.remove(n % self.told.len());
                if agent == self.agent {
                    self.orders = Some(orders);
                }
            }
            Event::Act => self.running = self.orders.unwrap_or(self.running),
            Event::Restart => self.begin_anew(),
            Event::Mark if !self.taken => {
                self.status = Status::Fencing;
                self.waited_from = self.waited_from.filter(|_| self.lacks(Part::Again)).or(Some(self.now));
            }
            Event::GiveUp if self.status == Status::Fencing => {
                self.status = Status::Ready;
                self.waited_from = self.waited_from.filter(|_| self.lacks(Part::Again));
            }
            Event::TakeOver if self.status == Status::Fencing => {
                let wait = if self.lacks(Part::Wait) { WITHIN / 2 } else { wait_for(WITHIN) };
                if self.waited_from.is_some_and(|from| self.now >= from + wait) {
                    (self.status, self.taken) = (Status::Fenced, true);
                }
            }
            Event::Report if self.status == Status::Fenced => self.status = Status::Ready,
            _ => {}
        }
        self.watch();
    }
    fn leased(&mut self, n: usize) {
        let (agent, asked) = self.leases.remove(n % self.leases.len());
        if agent != self.agent {
            return;
        }
        let asked = if self.lacks(Part::Question) { self.node_now() } else { asked };
        let fresh = self.fresh || self.lacks(Part::Fresh);
        if self.lease.extend(asked, fresh, self.node_now()) {
            self.fresh = false;
        } else if !self.fresh {
            self.begin_anew();
        }
    }
    /// The watchdog looks all the time.
    fn watch(&mut self) {
        if self.lease.is_over(self.node_now()) {
            self.running = false;
            // without this part agents live on, and go on with what they know
            if !self.fresh && !self.lacks(Part::Fresh) {
                self.begin_anew();
            }
        }
    }
    fn twice(&self) -> bool {
        self.running && self.taken
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (1..20_u8).prop_map(Event::Tick),
        4 => Just(Event::AskLease),
        4 => (0..8_usize).prop_map(Event::Lease),
        3 => Just(Event::AskOrders),
        3 => (0..8_usize).prop_map(Event::Orders),
        3 => Just(Event::Act),
        1 => Just(Event::Restart),
        2 => Just(Event::Mark),
        1 => Just(Event::GiveUp),
        3 => Just(Event::TakeOver),
        1 => Just(Event::Report),
    ]
}

fn run() -> impl Strategy<Value = (u64, Vec<Event>)> {
    (0..5_u64, prop::collection::vec(event(), 1..150))
}

/// Whether the instance runs twice at some moment, and whether the node was taken over from after it had run there.
fn played((slower, events): &(u64, Vec<Event>), without: Option<Part>) -> (bool, bool) {
    let mut world = World::new(*slower, without);
    let (mut ran, mut moved) = (false, false);
    for event in events {
        world.play(*event);
        ran |= world.running;
        moved |= ran && world.taken;
        if world.twice() {
            return (true, moved);
        }
    }
    (false, moved)
}

proptest! {
    #![proptest_config(Config::with_cases(4096))]
    #[test]
    fn there_are_never_two_copies(run in run()) {
        prop_assert!(!played(&run, None).0);
    }
}

#[test]
fn each_part_of_the_protocol_is_needed_and_what_is_lost_is_taken_over() {
    let mut runner = TestRunner::deterministic();
    let runs: Vec<_> = (0..4_000).map(|_| run().new_tree(&mut runner).expect("a run").current()).collect();
    for part in [Part::Refusal, Part::Question, Part::Fresh, Part::Wait, Part::Again] {
        assert!(
            runs.iter().any(|run| played(run, Some(part)).0),
            "without {part:?} nothing goes wrong: it proves nothing"
        );
    }
    assert!(!runs.iter().any(|run| played(run, None).0));
    assert!(runs.iter().any(|run| played(run, None).1));
}
