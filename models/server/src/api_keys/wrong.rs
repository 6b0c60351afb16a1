//! Where wrong keys come from.

use super::OF_PLACE;
use cirro_models::{Error, Result};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a wrong key counts.
const WINDOW: Duration = Duration::from_secs(60);
/// The most places that are counted; of more, each exchange is left to identity's own limits.
const MOST: usize = 10_000;

/// How many wrong keys were shown in each place of late, and since when.
#[derive(Default)]
pub(super) struct Wrong(Mutex<HashMap<IpAddr, (u32, Instant)>>);

impl Wrong {
    /// Refuses a place that has shown too many.
    pub(super) fn require_open(&self, place: IpAddr, now: Instant) -> Result<()> {
        let counted = self.0.lock().get(&place).copied();
        let Some((_, since)) = counted.filter(|(count, since)| *count >= OF_PLACE && !is_over(*since, now)) else {
            return Ok(());
        };
        let left = WINDOW.saturating_sub(now.saturating_duration_since(since));
        Err(Error::TooManyRequests {
            detail: "too many wrong API keys from your address: wait a minute".to_owned(),
            retry_after_s: u32::try_from(left.as_secs()).unwrap_or(60) + 1,
        })
    }
    /// A wrong key was shown there.
    pub(super) fn count(&self, place: IpAddr, now: Instant) {
        let mut places = self.0.lock();
        if places.len() >= MOST && !places.contains_key(&place) {
            places.retain(|_, (_, since)| !is_over(*since, now));
        }
        if places.len() < MOST || places.contains_key(&place) {
            let counter = places.entry(place).or_insert((0, now));
            if is_over(counter.1, now) {
                *counter = (0, now);
            }
            counter.0 += 1;
        }
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_place_is_closed_for_a_minute_and_no_other_and_memory_is_bounded() {
        let (wrong, now) = (Wrong::default(), Instant::now());
        let at = |n: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n));
        for _ in 0..OF_PLACE {
            wrong.require_open(at(1), now).unwrap();
            wrong.count(at(1), now);
        }
        let refused = wrong.require_open(at(1), now + Duration::from_secs(20)).unwrap_err();
        assert!(matches!(refused, Error::TooManyRequests { retry_after_s: 41, .. }), "{refused:?}");
        wrong.require_open(at(2), now).unwrap();
        wrong.require_open(at(1), now + WINDOW).unwrap();
        let most = u32::try_from(MOST).unwrap();
        (0..most * 2).for_each(|n| wrong.count(at(n), now));
        assert_eq!(wrong.0.lock().len(), MOST);
        wrong.count(at(most * 2), now + WINDOW);
        assert_eq!(wrong.0.lock().len(), 1);
    }
}
