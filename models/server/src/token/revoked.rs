//! What was revoked, in memory: a look-up by name, however much there is.

use crate::token::{CERTIFICATE_LIFE_S, LIFETIME_S};
use cirro_models::Timestamp;
use std::collections::HashMap;

/// How often entries are looked through for those that nobody needs any longer, in microseconds.
const SWEEP_US: i64 = 30_000_000;
/// For clocks that differ, in seconds.
const DIFFERENCE_S: i64 = 60;
/// How long after it was made a token can be met, in seconds: it lives for [`LIFETIME_S`].
pub const KEPT_S: i64 = LIFETIME_S + DIFFERENCE_S;

/// How long a revocation of this subject is kept, in seconds: what it ends was made before it, and is a token or, of a
/// node, a certificate, which lives for [`CERTIFICATE_LIFE_S`].
pub fn kept_s(subject: &str) -> i64 {
    if subject.starts_with("node:") { CERTIFICATE_LIFE_S + DIFFERENCE_S } else { KEPT_S }
}

fn is_over(subject: &str, until_us: i64, now_us: i64) -> bool {
    until_us <= now_us.saturating_sub(kept_s(subject) * 1_000_000)
}

/// Names whose tokens are good only if made after a moment, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    until: HashMap<Box<str>, i64>,
    swept: i64,
    /// Grows with each entry, so that what was looked up since the last one needs no look.
    revision: u64,
}

impl Revoked {
    /// Ends what `subject` holds and was made up to this moment.
    pub(super) fn learn(&mut self, subject: &str, until: Timestamp, now: Timestamp) {
        self.sweep(now.micros());
        let until = until.micros();
        if is_over(subject, until, now.micros()) {
            return;
        }
        match self.until.get_mut(subject) {
            Some(kept) if *kept >= until => return,
            Some(kept) => *kept = until,
            None => drop(self.until.insert(subject.into(), until)),
        }
        self.revision += 1;
    }
    /// Whether what `subject` held at this moment has ended.
    pub(super) fn ends(&self, subject: &str, made_us: i64) -> bool {
        self.until.get(subject).is_some_and(|until| made_us <= *until)
    }
    /// How many entries have ever come.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.until.len()
    }
    /// Drops what has no token left that it could end.
    pub(super) fn sweep(&mut self, now: i64) {
        if now.saturating_sub(self.swept) >= SWEEP_US {
            self.swept = now;
            self.until.retain(|subject, until| !is_over(subject, *until, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_ends_what_was_made_before_it_and_goes_when_that_has_expired() {
        let at = |seconds: i64| Timestamp::from_micros(1_000_000 * seconds);
        let mut revoked = Revoked::default();
        revoked.learn("user:a", at(1000), at(1000));
        revoked.learn("user:a", at(900), at(1001));
        assert!(revoked.ends("user:a", at(1000).micros()) && !revoked.ends("user:a", at(1001).micros()));
        assert!(!revoked.ends("user:b", at(1).micros()));
        revoked.sweep(at(1000 + LIFETIME_S).micros());
        assert_eq!(revoked.len(), 1, "a token of then may still live, by another clock");
        revoked.learn("user:b", at(1), at(1000 + LIFETIME_S + 61));
        assert_eq!(revoked.len(), 0, "nor is kept what has expired before it was heard of");
    }

    #[test]
    fn one_of_a_node_stays_as_long_as_a_certificate_of_it_may_live() {
        let at = |seconds: i64| Timestamp::from_micros(1_000_000 * seconds);
        let mut revoked = Revoked::default();
        revoked.learn("node:a", at(1000), at(1000));
        revoked.learn("user:a", at(1000), at(1000));
        revoked.learn("node:old", at(1000), at(1000 + 86_400));
        revoked.sweep(at(1000 + CERTIFICATE_LIFE_S).micros());
        assert_eq!(revoked.len(), 2, "and the other is gone");
        assert!(revoked.ends("node:a", at(999).micros()) && !revoked.ends("node:a", at(1001).micros()));
        revoked.sweep(at(1000 + CERTIFICATE_LIFE_S + 61).micros());
        assert_eq!(revoked.len(), 0);
    }
}
