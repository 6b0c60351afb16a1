//! What this process has counted, and what it was told.

use super::{Limit, WINDOW, shared::Heard, too_many};
use cirro_models::Error;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The most counters, and the most places of successful logins, that are remembered.
pub(super) const MOST: usize = 100_000;
/// How often counters that are over are dropped, and what is closed is asked about.
const EVERY: Duration = Duration::from_secs(1);
/// How long a place is known without being noted anew.
const NOTED: Duration = Duration::from_secs(24 * 3600);

/// What this process has counted, and what it was told.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) counters: HashMap<String, Counter>,
    known: HashMap<String, Instant>,
    swept: Option<Instant>,
}

/// Failures since the first of them.
pub(super) struct Counter {
    /// What all processes had counted when they were asked last.
    told: i64,
    /// What came here since, and was not told.
    ahead: i64,
    /// What is just being told, with the turns that are asked for.
    telling: i64,
    /// How many tell it: until they have ended, it is not dropped.
    tellers: u32,
    /// The answer of which `told` is.
    order: u64,
    since: Instant,
    asked: Option<Instant>,
}

/// How an attempt goes on.
pub(super) enum Step {
    /// It is counted.
    Begun,
    /// No attempt is left.
    Full { of_account: bool, error: Error },
}

impl Limit {
    /// The turn of an attempt that enters.
    fn turn(&self, enters: bool) -> i64 {
        i64::from(enters && self.at_once)
    }
    /// How far a process may be ahead of what it has told.
    fn slack(&self) -> i64 {
        self.most / 10
    }
}

impl Counted {
    /// Whether the account was logged in to from there within a day, here.
    pub(super) fn is_known(&self, pair: &str, now: Instant) -> bool {
        self.known.get(pair).is_some_and(|noted| now.saturating_duration_since(*noted) < NOTED)
    }
    /// It was, and that is noted.
    pub(super) fn know(&mut self, pair: String, now: Instant) {
        if self.is_known(&pair, now) {
            return;
        }
        if self.known.len() >= MOST && !self.known.contains_key(&pair) {
            let oldest = self.known.iter().min_by_key(|(_, noted)| **noted).map(|(pair, _)| pair.clone());
            oldest.and_then(|pair| self.known.remove(&pair));
        }
        self.known.insert(pair, now);
    }
    /// Counts an attempt; nothing if the others have to be asked first.
    pub(super) fn begin(&mut self, limits: &[Limit], known: bool, now: Instant) -> Option<Step> {
        self.sweep(now);
        let mut ask = false;
        for limit in limits {
            let Some(counter) = self.counters.get(&limit.name).filter(|counter| !counter.is_over(now)) else {
                continue;
            };
            let untold = counter.ahead + counter.telling;
            let full = counter.told + untold >= limit.most;
            if full && counter.asked.is_some_and(|asked| now.saturating_duration_since(asked) < EVERY) {
                return Some(counter.full(limit, now));
            }
            ask |= full || untold >= limit.slack();
        }
        if ask {
            return None;
        }
        if !known && self.counters.len() + limits.len() > MOST {
            let error = too_many("logins by too many names at once", WINDOW);
            return Some(Step::Full { of_account: false, error });
        }
        limits.iter().filter(|limit| limit.at_once).for_each(|limit| self.add(&limit.name, 1, now));
        Some(Step::Begun)
    }
    /// Counts so many more.
    pub(super) fn add(&mut self, name: &str, more: i64, now: Instant) {
        if more != 0 {
            self.counter(name, now).ahead += more;
        }
    }
    /// The counter of this minute.
    fn counter(&mut self, name: &str, now: Instant) -> &mut Counter {
        let new = || Counter { told: 0, ahead: 0, telling: 0, tellers: 0, order: 0, since: now, asked: None };
        let counter = self.counters.entry(name.to_owned()).or_insert_with(new);
        if counter.is_over(now) {
            *counter = Counter { telling: counter.telling, tellers: counter.tellers, ..new() };
        }
        counter
    }
    /// Whether so much was taken back here that the others should know.
    pub(super) fn is_behind(&self, limit: &Limit) -> bool {
        self.counters.get(&limit.name).is_some_and(|counter| counter.ahead <= -limit.slack())
    }
    /// What is to be told of these; until [`Self::hear`] or [`Self::give_back`].
    pub(super) fn take(&mut self, limits: &[Limit], enters: bool, now: Instant) -> Vec<i64> {
        let take = |limit: &Limit| {
            let counter = self.counter(&limit.name, now);
            counter.telling += counter.ahead + limit.turn(enters);
            counter.tellers += 1;
            std::mem::take(&mut counter.ahead)
        };
        limits.iter().map(take).collect()
    }
    /// It could not be told.
    pub(super) fn give_back(&mut self, limits: &[Limit], taken: &[i64], enters: bool) {
        for (limit, taken) in limits.iter().zip(taken) {
            if let Some(counter) = self.told(limit, *taken, enters) {
                counter.ahead += taken;
            }
        }
    }
    /// It was told, and this is what all have counted.
    pub(super) fn hear(
        &mut self,
        limits: &[Limit],
        taken: &[i64],
        enters: bool,
        heard: &[Heard],
        now: Instant,
    ) -> Step {
        for ((limit, taken), heard) in limits.iter().zip(taken).zip(heard) {
            // answers may come in another order than they were given
            if let Some(counter) = self.told(limit, *taken, enters).filter(|counter| heard.order > counter.order) {
                (counter.told, counter.order, counter.asked) = (heard.failures, heard.order, Some(now));
                counter.since = now.checked_sub(heard.age).unwrap_or(now);
            }
        }
        let full = limits.iter().zip(heard).find(|(_, heard)| heard.full);
        let counter = full.and_then(|(limit, _)| Some((limit, self.counters.get(&limit.name)?)));
        counter.map_or(Step::Begun, |(limit, counter)| counter.full(limit, now))
    }
    /// Nobody tells this any more.
    fn told(&mut self, limit: &Limit, taken: i64, enters: bool) -> Option<&mut Counter> {
        let counter = self.counters.get_mut(&limit.name)?;
        counter.telling -= taken + limit.turn(enters);
        counter.tellers -= 1;
        Some(counter)
    }
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= EVERY) {
            self.counters.retain(|_, counter| counter.tellers > 0 || !counter.is_over(now));
            self.swept = Some(now);
        }
    }
}

impl Counter {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
    fn full(&self, limit: &Limit, now: Instant) -> Step {
        let left = WINDOW.saturating_sub(now.saturating_duration_since(self.since));
        Step::Full { of_account: limit.of_account, error: too_many(&format!("failed logins {}", limit.words), left) }
    }
}
