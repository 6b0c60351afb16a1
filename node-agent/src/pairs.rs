//! Orders and what there is, side by side. Both are lists in the order of their ids: going through them together costs a
//! comparison for each, where looking each up would cost a search.

use crate::{
    desired::{Instances, Ordered},
    guest::Guest,
    hypervisor::Observed,
};
use cirro_models::{Id, compute::Instance};
use std::cmp::Ordering;

/// Every instance that is ordered to be here or has a guest here, each once, with its order and its guest.
pub(crate) fn pairs<'a>(
    orders: &'a Instances,
    observed: &'a Observed,
) -> impl Iterator<Item = (Id<Instance>, Option<&'a Ordered>, Option<&'a Guest>)> {
    let (mut listed, mut guests) = (orders.manifest.as_slice(), observed.guests.as_slice());
    std::iter::from_fn(move || {
        let order = match (listed.first(), guests.first()) {
            // nearly always; and whether two are the same is found out faster than which is the first
            (Some((id, _)), Some(guest)) if *id == guest.id() => Ordering::Equal,
            (Some((id, _)), Some(guest)) => id.cmp(&guest.id()),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let ordered = if order.is_le() { listed.split_off_first() } else { None };
        let guest = if order.is_ge() { guests.split_off_first() } else { None };
        let id = ordered.map(|(id, _)| *id).or(guest.map(Guest::id))?;
        Some((id, ordered.map(|(_, ordered)| ordered), guest))
    })
}
