//! Orders and what there is, side by side. Both are in the order of their ids: going through them together costs one
//! comparison for each, where looking each up would cost a search.

use crate::{
    desired::{Instances, Ordered},
    guest::Guest,
    hypervisor::Observed,
};
use cirro_models::{Id, compute::Instance};
use std::cmp::Ordering;

/// Goes through two sequences whose keys ascend: each key once, with what either has of it.
pub(crate) fn in_step<K: Ord + Copy, A, B>(
    left: impl IntoIterator<Item = (K, A)>,
    right: impl IntoIterator<Item = (K, B)>,
) -> impl Iterator<Item = (K, Option<A>, Option<B>)> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    std::iter::from_fn(move || {
        let (key, order) = match (left.peek(), right.peek()) {
            (Some((left, _)), Some((right, _))) => (*left.min(right), left.cmp(right)),
            (Some((left, _)), None) => (*left, Ordering::Less),
            (None, Some((right, _))) => (*right, Ordering::Greater),
            (None, None) => return None,
        };
        let left = if order.is_le() { left.next() } else { None };
        let right = if order.is_ge() { right.next() } else { None };
        Some((key, left.map(|(_, left)| left), right.map(|(_, right)| right)))
    })
}

/// Every instance that is ordered to be here or has a guest here, with its order and its guest.
pub(crate) fn pairs<'a>(
    orders: &'a Instances,
    observed: &'a Observed,
) -> impl Iterator<Item = (Id<Instance>, Option<&'a Ordered>, Option<&'a Guest>)> {
    let ordered = orders.manifest.iter().map(|(id, ordered)| (*id, ordered));
    in_step(ordered, observed.guests.iter().map(|guest| (guest.id(), guest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn each_key_comes_once_with_what_either_has(
            left in prop::collection::btree_map(0_u8..20, any::<u8>(), 0..10),
            right in prop::collection::btree_map(0_u8..20, any::<bool>(), 0..10),
        ) {
            let keys: BTreeSet<u8> = left.keys().chain(right.keys()).copied().collect();
            let expected = keys.into_iter().map(|key| (key, left.get(&key).copied(), right.get(&key).copied()));
            let expected: Vec<_> = expected.collect();
            prop_assert_eq!(in_step(left, right).collect::<Vec<_>>(), expected);
        }
    }
}
