//! How often somebody may try to log in.
//!
//! Guessing has to be slow, and nobody may be locked out by somebody else's guesses. So failures are counted mainly for
//! an account *and* the address that they come from: a stranger who guesses closes the account to their own address
//! alone. Many addresses together meet the limit of the whole account, which is ten times as high and does not count for
//! an address from which the account was logged in to before: who is attacked goes on from where they usually are. Each
//! closing is over a minute after its first failure. One address that tries many names meets a limit of its own.
//!
//! All of this is in the memory of one process: with several, each allows as much, and a restart forgets it.

use cirro_models::{Error, Result};
use cirro_server::http::place_of;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);
/// Failed logins of one account from one address that are allowed within [`WINDOW`].
const OF_PAIR: u32 = 10;
/// Of one account from all addresses that it is not known at.
const OF_ACCOUNT: u32 = 100;
/// From one address, whatever the account: many people may share one.
const OF_ADDRESS: u32 = 100;
/// The most counters, and the most places of successful logins, that are remembered.
const MOST: usize = 100_000;
/// How often counters that are over are dropped.
const SWEEP: Duration = Duration::from_secs(1);

/// Failed logins of late, and where accounts were logged in to.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    failures: HashMap<Key, (u32, Instant)>,
    known: HashMap<Key, Instant>,
    swept: Option<Instant>,
}

/// What failures are counted for.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Pair(String, IpAddr),
    Account(String),
    Address(IpAddr),
}

/// An attempt that is under way.
pub(crate) struct Attempt<'a> {
    account: &'a str,
    address: IpAddr,
    /// Whether the account was logged in to from there before, as this was counted.
    known: bool,
}

impl<'a> Attempt<'a> {
    /// By somebody who calls themselves this, from there.
    pub(crate) fn new(account: &'a str, address: IpAddr) -> Self {
        Self { account, address: place_of(address), known: false }
    }
    fn pair(&self) -> Key {
        Key::Pair(self.account.to_owned(), self.address)
    }
    /// What is counted, and up to where, with the words for it.
    fn limits(&self, known: bool) -> Vec<(Key, u32, String)> {
        let account = self.account;
        let mut limits = vec![
            (self.pair(), OF_PAIR, format!("as {account} from your address")),
            (Key::Address(self.address), OF_ADDRESS, "from your address".to_owned()),
        ];
        if !known {
            limits.push((Key::Account(account.to_owned()), OF_ACCOUNT, format!("as {account}")));
        }
        limits
    }
}

impl Attempts {
    /// Counts an attempt as failed until [`Self::succeeded`]: many that come at once can't all pass before the first of
    /// them has failed.
    pub(crate) fn begin(&self, attempt: &mut Attempt<'_>, now: Instant) -> Result<()> {
        let mut counted = self.0.lock();
        counted.sweep(now);
        let known = counted.known.contains_key(&attempt.pair());
        let limits = attempt.limits(known);
        for (key, most, words) in &limits {
            let full = |(count, since): &&(u32, Instant)| count >= most && !is_over(*since, now);
            if let Some((_, since)) = counted.failures.get(key).filter(full) {
                return Err(too_many(format!("too many failed logins {words}: wait a minute"), now, *since));
            }
        }
        if !known && counted.failures.len() + limits.len() > MOST {
            return Err(too_many("too many logins by too many names at once: wait a minute".to_owned(), now, now));
        }
        attempt.known = known;
        limits.into_iter().filter(|(key, ..)| !is_address(key)).for_each(|(key, ..)| counted.count(key, now));
        Ok(())
    }
    /// The attempt was a wrong guess. Only now it counts for its address, where hundreds may log in at the same moment.
    pub(crate) fn failed(&self, attempt: &Attempt<'_>, now: Instant) {
        self.0.lock().count(Key::Address(attempt.address), now);
    }
    /// The attempt was none of guessing.
    pub(crate) fn succeeded(&self, attempt: &Attempt<'_>, now: Instant) {
        let mut counted = self.0.lock();
        let pair = attempt.pair();
        for (key, ..) in attempt.limits(attempt.known).into_iter().filter(|(key, ..)| !is_address(key)) {
            if let Some((count, _)) = counted.failures.get_mut(&key) {
                *count = count.saturating_sub(1);
            }
        }
        if counted.known.len() >= MOST && !counted.known.contains_key(&pair) {
            let oldest = counted.known.iter().min_by_key(|(_, last)| **last).map(|(key, _)| key.clone());
            oldest.and_then(|key| counted.known.remove(&key));
        }
        counted.known.insert(pair, now);
    }
}

impl Counted {
    fn count(&mut self, key: Key, now: Instant) {
        let counter = self.failures.entry(key).or_insert((0, now));
        if is_over(counter.1, now) {
            *counter = (0, now);
        }
        counter.0 += 1;
    }
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
            self.failures.retain(|_, (_, since)| !is_over(*since, now));
            self.swept = Some(now);
        }
    }
}

fn is_address(key: &Key) -> bool {
    matches!(key, Key::Address(_))
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= WINDOW
}

fn too_many(detail: String, now: Instant, since: Instant) -> Error {
    let left = WINDOW.saturating_sub(now.saturating_duration_since(since));
    Error::TooManyRequests { detail, retry_after_s: u32::try_from(left.as_secs()).unwrap_or(60) + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn at(n: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    fn fail(attempts: &Attempts, account: &str, from: u32, now: Instant) -> bool {
        let mut attempt = Attempt::new(account, at(from));
        let begun = attempts.begin(&mut attempt, now).is_ok();
        if begun {
            attempts.failed(&attempt, now);
        }
        begun
    }

    #[test]
    fn a_stranger_closes_an_account_to_themselves_only_and_for_a_minute() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        assert_eq!((0..50).filter(|_| fail(&attempts, "ann", 1, began)).count(), 10);
        assert!(fail(&attempts, "ann", 2, began));
        let refused = attempts.begin(&mut Attempt::new("ann", at(1)), began + Duration::from_secs(20)).unwrap_err();
        assert!(matches!(refused, Error::TooManyRequests { retry_after_s: 41, .. }), "{refused:?}");
        assert!(fail(&attempts, "ann", 1, began + WINDOW));
    }

    #[test]
    fn many_strangers_meet_the_limit_of_the_account_and_its_owner_goes_on() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        let mut home = Attempt::new("ann", at(1));
        attempts.begin(&mut home, began).unwrap();
        attempts.succeeded(&home, began);
        let passed = (2..100).flat_map(|from| [from; 10]).filter(|from| fail(&attempts, "ann", *from, began)).count();
        assert_eq!(passed, 100);
        assert!(!fail(&attempts, "ann", 1000, began), "from where she never was");
        attempts.begin(&mut home, began).unwrap();
        attempts.succeeded(&home, began);
        assert_eq!((0..50).filter(|_| fail(&attempts, "ann", 1, began)).count(), 10, "home is limited too");
    }

    #[test]
    fn one_address_can_not_try_many_names() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        let passed = (0..1000).filter(|n| fail(&attempts, &format!("user{n}"), 1, began)).count();
        assert_eq!(passed, 100);
        assert!(fail(&attempts, "user1", 2, began));
        // many who log in at the same moment, such as the nodes of a test, are not meant
        let all_begin = (0..1000).all(|n| attempts.begin(&mut Attempt::new(&format!("node{n}"), at(3)), began).is_ok());
        assert!(all_begin);
    }

    #[test]
    fn a_whole_network_of_one_household_is_one_address() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        let v6 = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, 3, 4, 5, last]);
        let passed = (0..100).filter(|n| attempts.begin(&mut Attempt::new("ann", v6(*n)), began).is_ok()).count();
        assert_eq!(passed, 10);
        assert!(
            attempts.begin(&mut Attempt::new("ann", IpAddr::from([0x2001, 0xdb8, 1, 3, 0, 0, 0, 1])), began).is_ok()
        );
        // an IPv4 address is itself, however it is written
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(Attempt::new("x", mapped).address, at(1));
    }

    #[test]
    fn memory_is_bounded_and_who_is_known_still_gets_in() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        let mut home = Attempt::new("ann", at(1));
        attempts.begin(&mut home, began).unwrap();
        attempts.succeeded(&home, began);
        let tried = u32::try_from(MOST).unwrap();
        assert!((2..tried).any(|n| !fail(&attempts, &format!("user{n}"), n, began)));
        assert!(attempts.0.lock().failures.len() <= MOST);
        attempts.begin(&mut home, began).unwrap();
        assert!(fail(&attempts, "user1", 2, began + WINDOW), "and there is room again");
    }
}
