//! What goes wrong on a simulated machine, and from when on.

use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every build fails.
    Refuse,
    /// So many of a hundred builds fail, by chance.
    Error(u8),
    /// What is done to guests never returns; they are still seen, so the agent goes on reporting.
    Hang,
    /// Everything that is done to guests takes at least this long.
    Slow(Duration),
}

/// A fault and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// What goes wrong.
    pub fault: Fault,
    /// From when on, counted from the machine's begin.
    pub from: Duration,
}

/// All that goes wrong on one machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(pub(super) Vec<Due>);

impl Faults {
    fn at(&self, now: Duration) -> impl Iterator<Item = Fault> {
        self.0.iter().filter(move |due| due.from <= now).map(|due| due.fault)
    }
    /// Whether nothing returns any more.
    pub(super) fn hang(&self, now: Duration) -> bool {
        self.at(now).any(|fault| fault == Fault::Hang)
    }
    /// How long everything takes at least.
    pub(super) fn delay(&self, now: Duration) -> Duration {
        let delay = |fault| if let Fault::Slow(delay) = fault { delay } else { Duration::ZERO };
        self.at(now).map(delay).max().unwrap_or_default()
    }
    /// Whether the next build fails, and the sentence that says so.
    pub(super) fn refusal(&self, now: Duration, chance: &mut fastrand::Rng) -> Option<&'static str> {
        self.at(now).find_map(|fault| match fault {
            Fault::Refuse => Some("the simulated node refuses every build, as --fail says: launch elsewhere"),
            Fault::Error(percent) if chance.u8(0..100) < percent => {
                Some("the simulated node failed by chance, as --fail says: it is tried again")
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_begins_at_its_moment_and_the_same_seed_gives_the_same_errors() {
        let second = Duration::from_secs(1);
        let due = |fault, seconds| Due { fault, from: second * seconds };
        let faults = Faults(vec![due(Fault::Hang, 30), due(Fault::Slow(second), 2), due(Fault::Error(20), 0)]);
        assert!(!faults.hang(second * 29) && faults.hang(second * 30));
        assert_eq!((faults.delay(second), faults.delay(second * 2)), (Duration::ZERO, second));
        let drawn = |seed| {
            let mut chance = fastrand::Rng::with_seed(seed);
            (0..1000).map(|_| faults.refusal(second, &mut chance).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let failed = drawn(7).into_iter().filter(|failed| *failed).count();
        assert!((150..250).contains(&failed), "{failed}");
        let refuses = Faults(vec![due(Fault::Refuse, 0)]);
        assert!(refuses.refusal(Duration::ZERO, &mut fastrand::Rng::with_seed(1)).is_some());
    }
}
