//! What the agent remembers while it runs: what it is doing, what failed and when to try again. None of it is needed
//! after a restart: that only costs a repeated attempt.

use crate::{
    by_id::ById,
    desired::Desired,
    guest::{Guest, Order},
    hypervisor::Observed,
    plan::{Action, Subject},
};
use cirro_models::{Generation, Id, compute::Instance};
use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between attempts: what was repaired is noticed within a minute.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Failed attempts at something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How many in a row.
    pub attempts: u32,
    /// What the last one said.
    pub sentence: String,
    /// No further one before this time.
    pub not_before: Duration,
}

/// When a guest was asked to go off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// For the first time.
    pub first: Duration,
    /// For the last time.
    pub last: Duration,
}

/// See the module. All times are counted from the agent's start.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The time now.
    pub now: Duration,
    /// What is being worked on; nothing else is begun there.
    pub busy: BTreeSet<Subject>,
    trouble: BTreeMap<Subject, Trouble>,
    asked: BTreeMap<Id<Instance>, Asked>,
    started: BTreeMap<Id<Instance>, (u32, Duration)>,
    wished: ById<Instance, Generation>,
}

impl Memory {
    /// The failed attempts at this, if the last one failed.
    pub fn trouble(&self, subject: Subject) -> Option<&Trouble> {
        self.trouble.get(&subject)
    }
    /// Whether something may be begun here now.
    pub fn is_free(&self, subject: Subject) -> bool {
        !self.busy.contains(&subject) && self.trouble.get(&subject).is_none_or(|t| t.not_before <= self.now)
    }
    /// When this guest was asked to go off, if it was.
    pub fn asked(&self, id: Id<Instance>) -> Option<Asked> {
        self.asked.get(&id).copied()
    }
    /// Whether a guest that keeps dying right after its start has to wait.
    pub fn must_rest(&self, id: Id<Instance>) -> bool {
        self.started.get(&id).is_some_and(|(starts, last)| self.now < *last + rest(*starts))
    }
    /// The nearest time at which something that is waiting may go on.
    pub fn next_attempt(&self) -> Option<Duration> {
        let retries = self.trouble.values().map(|trouble| trouble.not_before);
        let rests = self.started.values().map(|(starts, last)| *last + rest(*starts));
        retries.chain(rests).filter(|time| *time > self.now).min()
    }

    /// An action begins.
    pub fn begin(&mut self, action: &Action) {
        self.busy.insert(action.subject());
        match action {
            Action::Shutdown { mark } => {
                let now = self.now;
                self.asked.entry(mark.id).or_insert(Asked { first: now, last: now }).last = now;
            }
            Action::Start { mark, again: true } => {
                let (starts, last) = self.started.get(&mark.id).copied().unwrap_or_default();
                // A guest that has run for ten minutes is not one that dies at its start.
                let starts = if self.now > last + 10 * LONGEST_PAUSE { 0 } else { starts };
                self.started.insert(mark.id, (starts + 1, self.now));
            }
            Action::Start { mark, again: false } => {
                self.started.remove(&mark.id);
            }
            _ => {}
        }
    }
    /// An action has ended.
    pub fn end(&mut self, subject: Subject, failed: Option<String>) {
        self.busy.remove(&subject);
        let Some(sentence) = failed else {
            self.trouble.remove(&subject);
            return;
        };
        let attempts = self.trouble.get(&subject).map_or(0, |trouble| trouble.attempts) + 1;
        let pause = (FIRST_PAUSE * 2_u32.saturating_pow(attempts - 1)).min(LONGEST_PAUSE);
        self.trouble.insert(subject, Trouble { attempts, sentence, not_before: self.now + pause });
    }
    /// Takes note of what was seen: since when guests are known to be going off.
    pub fn saw(&mut self, guests: &[Guest]) {
        let going_off =
            |guest: &&Guest| guest.state.is_on() && matches!(guest.mark.order, Order::Stop | Order::Restart(_));
        let going: BTreeSet<_> = guests.iter().filter(going_off).map(Guest::id).collect();
        let busy = &self.busy;
        self.asked.retain(|id, _| going.contains(id) || busy.contains(&Subject::Instance(*id)));
        for id in going {
            self.asked.entry(id).or_insert(Asked { first: self.now, last: self.now });
        }
    }
    /// Takes note of what is wished, in the order of the ids. A wish that is new is tried at once, however often an older
    /// one has failed.
    pub fn heard(&mut self, wishes: impl IntoIterator<Item = (impl Borrow<Id<Instance>>, impl Borrow<Generation>)>) {
        let wishes = wishes.into_iter().map(|(id, now)| (*id.borrow(), *now.borrow()));
        let mut wished = self.wished.cursor();
        let wishes = wishes.map(|(id, now)| (id, wished.reach(id, |_| {}).copied(), now));
        let changed: Vec<_> = wishes.filter(|(_, before, now)| *before != Some(*now)).collect();
        for (id, before, now) in changed {
            self.wished.insert(id, now);
            if before.is_some_and(|before| before < now) {
                self.trouble.remove(&Subject::Instance(id));
                self.started.remove(&id);
            }
        }
    }
    /// Forgets what no longer exists. The wishes of these orders are heard.
    pub fn keep(&mut self, desired: &Desired, observed: &Observed) {
        let (listed, volumes) = (&desired.instances.manifest, &desired.storage.volumes);
        let is_instance = |id: Id<Instance>| listed.contains_key(&id) || observed.guest(id).is_some();
        self.trouble.retain(|subject, _| match subject {
            Subject::Instance(id) => is_instance(*id),
            Subject::Volume(id) => observed.volumes.contains(id) || volumes.iter().any(|spec| spec.id == *id),
            Subject::Console(_) => false,
        });
        self.started.retain(|id, _| is_instance(*id));
        // all that are listed are among the wishes: if there are no more of these, there is none to forget
        if self.wished.len() > listed.len() {
            self.wished.retain(is_instance);
        }
    }
}

/// How long a guest rests after this many starts: not at all after the first three.
fn rest(starts: u32) -> Duration {
    match starts.checked_sub(3) {
        None | Some(0) => Duration::ZERO,
        Some(more) => (FIRST_PAUSE * 2_u32.saturating_pow(more)).min(LONGEST_PAUSE),
    }
}
