//! The takeover as a whole, played through: many interleavings of compute, whose clock runs at any pace, of workers that stall
//! and go on, and of machines that are cut off one way or both, stall, hang, die and are switched on again. Decisions are made by the
//! real code ([`judge`]); the job's steps are those of [`super::job`], in their order; machines and network are played.
//!
//! What must hold after every event: the instance runs on one machine at most.

use super::loss::{Patience, Sight, Verdict, judge};
use cirro_models::compute::node::NodeStatus;
use proptest::prelude::*;
use std::time::Duration;

/// A node's machine, and the agent on it.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each says what a machine or its connection is like")]
struct Machine {
    on: bool,
    /// Which boot this is.
    boot: u64,
    /// What the agent of this boot was told: whether the instance belongs here. Nothing, before it was told anything.
    orders: Option<bool>,
    running: bool,
    /// Whether its calls reach compute, and compute's answers it.
    up: bool,
    down: bool,
    stalled: bool,
    /// What is done there does not end, though the agent goes on.
    hung: bool,
    /// What such an action comes to when it ends after all.
    under_way: Option<bool>,
}

impl Machine {
    fn new() -> Self {
        Self { on: true, up: true, down: true, ..Self::default() }
    }
    fn switch_off(&mut self) {
        (self.on, self.running, self.orders) = (false, false, None);
        (self.hung, self.under_way) = (false, None);
    }
    fn switch_on(&mut self) {
        if !self.on {
            (self.on, self.boot) = (true, self.boot + 1);
        }
    }
    /// The agent does what it was told, and nothing that it was not told in this boot.
    fn act(&mut self) {
        if self.on && !self.stalled {
            // one action at a time: what it was told since does not change it
            self.under_way = self.under_way.or(self.orders);
            if !self.hung {
                self.end();
            }
        }
    }
    /// What is under way ends.
    fn end(&mut self) {
        self.running = self.under_way.take().unwrap_or(self.running);
    }
    fn hang(&mut self, hung: bool) {
        self.hung = self.on && hung;
        if !self.hung {
            self.end();
        }
    }
}

/// An answer of compute that is still on its way to a boot of a machine.
#[derive(Debug, Clone)]
struct Answer {
    machine: usize,
    boot: u64,
    orders: bool,
}

/// How far the fence's job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    /// The node is marked; the order to switch off goes out.
    Marked,
    /// It was ordered off, and whether it is off is not known.
    Ordered,
    /// It was seen to be off.
    Seen,
}

struct World {
    /// The node that may be lost, and the other one.
    machines: [Machine; 2],
    answers: Vec<Answer>,
    /// What the database says.
    status: NodeStatus,
    owner: usize,
    tombstone: bool,
    /// Compute's monotonic clock, in ticks of its own.
    now: u64,
    heard: u64,
    /// What it said before it was fencing.
    before: NodeStatus,
    /// Since when compute knows the node to be stuck.
    stuck_since: Option<u64>,
    stage: Stage,
    /// A worker has seen the machine off, and stands still since.
    late: bool,
    /// Whether the fence does what it is told.
    fence_works: bool,
    /// What a part of the protocol is left out, to show that the test would notice.
    without: Option<Part>,
}

/// Parts of the protocol that keep the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Orders are refused while a node is being fenced.
    Silence,
    /// Whether the machine is off is looked at.
    Look,
    /// Whoever has lost the job to another worker may not act on what it saw.
    Lease,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Tick(u8),
    Poll(usize),
    Deliver(usize),
    Act(usize),
    Report(usize),
    Cut(usize, bool, bool),
    Stall(usize, bool),
    Hang(usize, bool),
    Die(usize),
    Boot(usize),
    Judge,
    Fence,
    FenceBreaks(bool),
    /// The worker that runs the job stands still, or is gone; another one begins it again.
    WorkerStalls,
    /// The one that stood still goes on.
    WorkerWakes,
}

impl World {
    fn new(without: Option<Part>) -> Self {
        let mut machines = [Machine::new(), Machine::new()];
        (machines[0].orders, machines[0].running) = (Some(true), true);
        Self {
            machines,
            answers: Vec::new(),
            status: NodeStatus::Ready,
            owner: 0,
            tombstone: false,
            now: 0,
            heard: 0,
            before: NodeStatus::Ready,
            stuck_since: None,
            stage: Stage::Idle,
            late: false,
            fence_works: true,
            without,
        }
    }
    /// What compute would tell this machine now; nothing while it is being fenced.
    fn orders(&self, machine: usize) -> Option<bool> {
        let fencing = machine == 0 && self.status == NodeStatus::Fencing;
        (!fencing || self.without == Some(Part::Silence)).then_some(self.owner == machine)
    }
    fn play(&mut self, event: Event) {
        match event {
            Event::Tick(ticks) => self.now += u64::from(ticks),
            Event::Poll(n) => self.poll(n),
            Event::Deliver(n) => self.deliver(n),
            Event::Act(n) => self.machines[n].act(),
            Event::Report(n) => self.report(n),
            Event::Cut(n, up, down) => (self.machines[n].up, self.machines[n].down) = (up, down),
            Event::Stall(n, stalled) => self.machines[n].stalled = stalled,
            Event::Hang(n, hung) => self.machines[n].hang(hung),
            Event::Die(n) => self.machines[n].switch_off(),
            Event::Boot(n) => self.machines[n].switch_on(),
            Event::Judge => self.judge(),
            Event::Fence => self.fence(),
            Event::FenceBreaks(breaks) => self.fence_works = !breaks,
            Event::WorkerStalls => {
                // the lease runs out, and whoever takes it begins at the beginning; the status stays what it is
                self.late |= self.stage == Stage::Seen;
                if self.stage != Stage::Idle {
                    self.stage = Stage::Marked;
                }
            }
            Event::WorkerWakes => {
                if std::mem::take(&mut self.late) && self.without == Some(Part::Lease) {
                    self.take_over();
                }
            }
        }
    }
    fn calls(&self, n: usize) -> bool {
        let machine = &self.machines[n];
        machine.on && machine.up && !machine.stalled
    }
    fn poll(&mut self, n: usize) {
        if !self.calls(n) {
            return;
        }
        if n == 0 {
            self.heard = self.now;
        }
        if let Some(orders) = self.orders(n) {
            self.answers.push(Answer { machine: n, boot: self.machines[n].boot, orders });
        }
    }
    /// An answer arrives, in any order, as long as who asked is there.
    fn deliver(&mut self, n: usize) {
        if self.answers.is_empty() {
            return;
        }
        let answer = self.answers.remove(n % self.answers.len());
        let machine = &mut self.machines[answer.machine];
        if machine.on && machine.boot == answer.boot && machine.down && !machine.stalled {
            machine.orders = Some(answer.orders);
        }
    }
    fn report(&mut self, n: usize) {
        if n != 0 || !self.calls(0) {
            return;
        }
        self.heard = self.now;
        if self.status == NodeStatus::Fencing && self.without != Some(Part::Silence) {
            return;
        }
        // by the agent's clock, which may run at any pace: whatever hangs may have hung for too long
        self.status = if self.machines[0].hung { NodeStatus::Stuck } else { NodeStatus::Ready };
        if self.tombstone && self.machines[0].orders == Some(false) && !self.machines[0].running {
            self.tombstone = false;
        }
    }
    fn judge(&mut self) {
        let patience = Patience::of(Duration::from_secs(10));
        let silent_for = Duration::from_secs(self.now - self.heard);
        self.stuck_since = (self.status == NodeStatus::Stuck).then(|| self.stuck_since.unwrap_or(self.now));
        let stuck_for = Duration::from_secs(self.stuck_since.map_or(0, |since| self.now - since));
        let sight = Sight { status: &self.status, in_maintenance: false, silent_for, called: true, stuck_for };
        match judge(sight, patience, false) {
            Verdict::Silent => self.status = NodeStatus::Silent,
            Verdict::Back => self.status = NodeStatus::Ready,
            Verdict::Lost if self.stage == Stage::Idle && self.owner == 0 => {
                self.before = std::mem::replace(&mut self.status, NodeStatus::Fencing);
                self.stage = Stage::Marked;
            }
            Verdict::Lost | Verdict::Leave => {}
        }
    }
    /// The next step of the job.
    fn fence(&mut self) {
        self.stage = match self.stage {
            Stage::Idle => Stage::Idle,
            Stage::Marked => {
                if self.fence_works {
                    self.machines[0].switch_off();
                }
                Stage::Ordered
            }
            Stage::Ordered if !self.machines[0].on || self.without == Some(Part::Look) => Stage::Seen,
            Stage::Ordered => {
                if self.status == NodeStatus::Fencing {
                    self.status = self.before.clone();
                }
                Stage::Idle
            }
            Stage::Seen => {
                self.take_over();
                Stage::Idle
            }
        };
    }
    fn take_over(&mut self) {
        if self.status == NodeStatus::Fencing {
            (self.status, self.owner, self.tombstone) = (NodeStatus::Fenced, 1, true);
        }
    }
    fn copies(&self) -> usize {
        self.machines.iter().filter(|machine| machine.running).count()
    }
}

fn event() -> impl Strategy<Value = Event> {
    let machine = || 0..2_usize;
    prop_oneof![
        4 => (1..25_u8).prop_map(Event::Tick),
        4 => machine().prop_map(Event::Poll),
        4 => (0..8_usize).prop_map(Event::Deliver),
        4 => machine().prop_map(Event::Act),
        3 => machine().prop_map(Event::Report),
        2 => (machine(), any::<bool>(), any::<bool>()).prop_map(|(n, up, down)| Event::Cut(n, up, down)),
        1 => (machine(), any::<bool>()).prop_map(|(n, stalled)| Event::Stall(n, stalled)),
        2 => (machine(), any::<bool>()).prop_map(|(n, hung)| Event::Hang(n, hung)),
        1 => machine().prop_map(Event::Die),
        2 => machine().prop_map(Event::Boot),
        4 => Just(Event::Judge),
        6 => Just(Event::Fence),
        1 => any::<bool>().prop_map(Event::FenceBreaks),
        1 => Just(Event::WorkerStalls),
        1 => Just(Event::WorkerWakes),
    ]
}

/// Whether the events lead to two copies, and whether anything was taken over on the way.
fn twice(events: &[Event], without: Option<Part>) -> (bool, bool) {
    let mut world = World::new(without);
    let mut twice = false;
    for event in events {
        world.play(*event);
        twice |= world.copies() > 1;
    }
    (twice, world.owner == 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    #[test]
    fn there_are_never_two_copies(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new(None);
        for event in &events {
            world.play(*event);
            prop_assert!(world.copies() <= 1, "after {event:?}: {:?}", world.machines);
        }
    }
}

/// The run that each part is there for: without it, it ends with two copies.
#[test]
fn each_part_of_the_protocol_is_needed() {
    use Event::{Cut, Hang, Judge, Report, Tick};
    let silent = vec![Cut(0, false, false), Tick(11), Judge, Tick(10), Judge];
    let stuck = vec![Hang(0, true), Report(0), Judge, Tick(11), Report(0), Judge];
    for lost in [silent, stuck] {
        parts_are_needed(&lost);
    }
    let mut world = World::new(None);
    for event in [Hang(0, true), Report(0), Judge, Tick(11), Hang(0, false), Report(0), Judge] {
        world.play(event);
    }
    assert_eq!((world.status, world.stage), (NodeStatus::Ready, Stage::Idle), "what ends in time is no loss");
}

fn parts_are_needed(lost: &[Event]) {
    use Event::{Act, Boot, Cut, Deliver, Fence, FenceBreaks, Poll, Report, WorkerStalls, WorkerWakes};
    let taken = [Poll(1), Deliver(0), Act(1)];
    // a person switches it on while it is being taken over from, and it asks what to do before that is committed
    let back = vec![Fence, Fence, Boot(0), Cut(0, true, true), Poll(0), Deliver(0), Act(0), Fence];
    let unseen = vec![FenceBreaks(true), Fence, Fence, Fence];
    // the worker stalls after it has seen the machine off; another one can't switch it off again, gives up, and the node
    // is back, and lost once more
    let mut late = vec![Fence, Fence, WorkerStalls, Boot(0), Cut(0, true, true), FenceBreaks(true), Fence, Fence];
    late.extend([Report(0), Poll(0), Deliver(0), Act(0)].iter().chain(lost));
    late.push(WorkerWakes);
    for (part, then) in [(Part::Silence, back), (Part::Look, unseen), (Part::Lease, late)] {
        let run: Vec<Event> = lost.iter().chain(&then).chain(&taken).copied().collect();
        assert!(!twice(&run, None).0, "{part:?}");
        assert!(twice(&run, Some(part)).0, "without {part:?} nothing goes wrong: the test proves nothing");
    }
    let run: Vec<Event> = lost.iter().chain(&[Fence, Fence, Fence]).chain(&taken).copied().collect();
    assert_eq!(twice(&run, None), (false, true), "and what is lost is taken over");
}
