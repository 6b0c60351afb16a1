//! Least-loaded: which endpoint gets the next call.
//!
//! A heap gives the least of many in logarithmic time but must be told of every change of load and health. Here are a
//! handful of endpoints, at most some hundreds: one look at each costs less than keeping a heap true.

use crate::eject::Standing;

/// One endpoint as it is seen at the moment of choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// How it stands.
    pub(crate) standing: Standing,
    /// Calls under way to it.
    pub(crate) load: usize,
    /// Whether this call failed there before.
    pub(crate) tried: bool,
}

/// The place of the endpoint to use: one that is up before one that is down, then one where the call was not tried, then
/// the least loaded; equals take turns, beginning at `start`. None only if there are none.
pub(crate) fn pick(seen: &[Seen], start: usize) -> Option<usize> {
    let count = seen.len();
    let turn = |place: usize| (place + count - start % count) % count;
    let rank = |place: &usize| {
        let one = &seen[*place];
        (one.standing != Standing::Up, one.tried, one.load, turn(*place))
    };
    (0..count).min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_seen() -> impl Strategy<Value = Vec<Seen>> {
        let standing = prop_oneof![Just(Standing::Up), Just(Standing::Due), Just(Standing::Down)];
        let one =
            (standing, 0usize..5, any::<bool>()).prop_map(|(standing, load, tried)| Seen { standing, load, tried });
        proptest::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn a_down_endpoint_is_used_only_if_all_are_down(seen in any_seen(), start in 0usize..100) {
            let picked = pick(&seen, start);
            prop_assert_eq!(picked.is_none(), seen.is_empty());
            if let Some(place) = picked {
                let some_up = seen.iter().any(|one| one.standing == Standing::Up);
                prop_assert_eq!(seen[place].standing == Standing::Up, some_up);
            }
        }

        #[test]
        fn no_equal_one_has_less_load(seen in any_seen(), start in 0usize..100) {
            if let Some(place) = pick(&seen, start) {
                let like = |one: &&Seen| {
                    (one.standing == Standing::Up) == (seen[place].standing == Standing::Up)
                        && one.tried == seen[place].tried
                };
                prop_assert!(seen.iter().filter(like).all(|one| one.load >= seen[place].load));
            }
        }

        #[test]
        fn equals_take_turns(count in 1usize..30) {
            let seen = vec![Seen { standing: Standing::Up, load: 0, tried: false }; count];
            let mut used: Vec<_> = (0..count).filter_map(|start| pick(&seen, start)).collect();
            used.sort_unstable();
            prop_assert_eq!(used, (0..count).collect::<Vec<_>>());
        }

        #[test]
        fn loads_stay_within_one_of_each_other(count in 1usize..30, calls in 1usize..200) {
            let mut seen = vec![Seen { standing: Standing::Up, load: 0, tried: false }; count];
            for start in 0..calls {
                let place = pick(&seen, start).unwrap();
                seen[place].load += 1;
            }
            let loads = seen.iter().map(|one| one.load);
            prop_assert!(loads.clone().max().unwrap() - loads.min().unwrap() <= 1);
        }
    }
}
