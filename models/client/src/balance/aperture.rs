//! Aperture: the smallest part of the endpoints that keeps the load of each within a band.
//!
//! With hundreds of clients and endpoints, everybody holding connections to everybody costs more than it gives. So each
//! client starts with few endpoints, takes one more while the load per endpoint is above the band, and gives one up while
//! it is below. The load is the number of calls under way, smoothed exponentially over time, so that a burst of a moment
//! changes nothing. The method is that of Finagle's aperture balancer and of Tellapart's Scales (`aperture.py`), whose
//! band of 0.5 to 2.0 is taken over.

use std::time::Duration;
use tokio::time::Instant;

/// The band and how slowly the load is followed.
#[derive(Debug, Clone)]
pub struct ApertureParams {
    /// Never fewer endpoints than this, so that one that fails has a stand-in.
    pub smallest: usize,
    /// Calls under way per endpoint below which it shrinks.
    pub low: f64,
    /// Calls under way per endpoint above which it grows.
    pub high: f64,
    /// The time constant of the smoothing.
    pub window: Duration,
    /// The shortest time between two changes, so that each can show its effect.
    pub pause: Duration,
}

impl Default for ApertureParams {
    fn default() -> Self {
        let (window, pause) = (Duration::from_secs(5), Duration::from_millis(100));
        Self { smallest: 2, low: 0.5, high: 2.0, window, pause }
    }
}

/// How wide it is open, and the load that this follows from.
#[derive(Debug)]
pub(crate) struct Aperture {
    params: ApertureParams,
    size: usize,
    load: f64,
    seen: Option<Instant>,
    changed: Option<Instant>,
}

impl Aperture {
    /// As small as allowed, without load.
    pub(crate) fn new(params: ApertureParams) -> Self {
        Self { size: params.smallest.max(1), params, load: 0.0, seen: None, changed: None }
    }
    /// Takes note of the calls under way at this moment; answers how many of the `available` endpoints to use.
    pub(crate) fn observe(&mut self, underway: usize, available: usize, now: Instant) -> usize {
        let passed = self.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        self.seen = Some(now);
        let keep = (-passed.as_secs_f64() / self.params.window.as_secs_f64()).exp();
        self.load = self.load * keep + count(underway) * (1.0 - keep);
        let rested = self.changed.is_none_or(|changed| now.saturating_duration_since(changed) >= self.params.pause);
        let smallest = self.params.smallest.max(1);
        let each = self.load / count(self.size);
        // it shrinks only if what remains is then not above the band
        let narrower = self.load / count(self.size.saturating_sub(1).max(1)) <= self.params.high;
        if rested && each > self.params.high && self.size < available {
            self.size += 1;
            self.changed = Some(now);
        } else if rested && each < self.params.low && narrower && self.size > smallest {
            self.size -= 1;
            self.changed = Some(now);
        }
        self.size = self.size.clamp(smallest, available.max(smallest));
        self.size.min(available)
    }
}

#[allow(clippy::cast_precision_loss, reason = "calls and endpoints are far fewer than 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The size after this load has stood for two minutes.
    fn settled(load: usize, available: usize) -> usize {
        let (mut aperture, start) = (Aperture::new(ApertureParams::default()), Instant::now());
        let steps = (0u32..1200).map(|step| start + Duration::from_millis(100) * step);
        steps.map(|now| aperture.observe(load, available, now)).last().unwrap()
    }

    proptest! {
        #[test]
        fn a_steady_load_ends_within_the_band(load in 0usize..300, available in 1usize..200) {
            let size = settled(load, available);
            prop_assert!(size <= available);
            prop_assert!(size == available || count(load) / count(size) <= 2.0 + 1e-9);
            prop_assert!(size <= 2 || count(load) / count(size) >= 0.5 - 1e-9);
        }

        #[test]
        fn it_is_never_empty_nor_larger_than_what_is_there(
            steps in proptest::collection::vec((0usize..500, 1usize..50, 0u64..3000), 1..100),
        ) {
            let (mut aperture, mut now) = (Aperture::new(ApertureParams::default()), Instant::now());
            for (underway, available, passed) in steps {
                now += Duration::from_millis(passed);
                let size = aperture.observe(underway, available, now);
                prop_assert!((1..=available).contains(&size));
            }
        }
    }

    #[test]
    fn a_short_burst_changes_little_and_a_lull_shrinks_it_again() {
        let (mut aperture, start) = (Aperture::new(ApertureParams::default()), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        aperture.observe(0, 100, at(0));
        assert!(aperture.observe(20, 100, at(50)) <= 3);
        let grown = (1..600).map(|step| aperture.observe(100, 100, at(50 + step * 100))).last().unwrap();
        assert!((50..=60).contains(&grown), "{grown}");
        let shrunk = (1..1200).map(|step| aperture.observe(0, 100, at(60_000 + step * 100))).last().unwrap();
        assert_eq!(shrunk, 2);
    }
}
