//! How long a job waits after it has failed.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest: what is wrong for hours is looked at by somebody, and then should not take hours more.
const LONGEST: Duration = Duration::from_secs(600);

/// The wait after this many attempts: doubled each time, and shortened by up to half at random (`random` is from 0 to 1),
/// so that jobs that failed together do not come back together.
pub(super) fn after(attempts: i64, random: f64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 30)).unwrap_or(30);
    let whole = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_longer_up_to_the_longest() {
        let seconds = |attempts| after(attempts, 1.0).as_secs();
        assert_eq!([1, 2, 3, 10].map(seconds), [1, 2, 4, 512]);
        assert_eq!([11, 12, 1000, i64::MAX].map(seconds), [600; 4]);
        assert_eq!([i64::MIN, 0].map(seconds), [1, 1]);
    }

    proptest::proptest! {
        #[test]
        fn chance_takes_at_most_half(attempts in 0..40i64, random in 0.0..1.0f64) {
            let (least, wait, most) = (after(attempts, 0.0), after(attempts, random), after(attempts, 1.0));
            proptest::prop_assert!(least <= wait && wait <= most && least * 2 == most);
        }
    }
}
