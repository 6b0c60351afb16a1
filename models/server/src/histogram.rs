//! How long things take, counted in buckets that a page of metrics can show.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the buckets, in microseconds: from a remembered row to a long poll.
pub const BOUNDS_US: [u64; 13] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

/// Durations, counted. Cheap: three additions.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Each bucket alone; the last holds what is longer than every bound.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// How many took at most each bound.
    pub at_most: [u64; BOUNDS_US.len()],
    /// How many there were.
    pub count: u64,
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// One more.
    pub fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < us)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }
    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        let mut count = 0;
        let mut up_to = |bucket: &AtomicU64| {
            count += bucket.load(Relaxed);
            count
        };
        let at_most = std::array::from_fn(|n| up_to(&self.buckets[n]));
        let count = up_to(&self.buckets[BOUNDS_US.len()]);
        Counted { at_most, count, sum_us: self.sum_us.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_its_bucket_and_all_above() {
        let histogram = Histogram::default();
        for us in [250, 251, 30_000_000, 30_000_001] {
            histogram.add(Duration::from_micros(us));
        }
        let counted = histogram.counted();
        assert_eq!((counted.at_most[0], counted.at_most[1], counted.at_most[11], counted.at_most[12]), (1, 2, 2, 3));
        assert_eq!((counted.count, counted.sum_us), (4, 60_000_502));
    }
}
