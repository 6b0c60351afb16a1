//! How much of a launch the project's quota allows.

use crate::{claims, launch::Referenced, schedule::Need};
use cirro_models::{
    Error, Id, Result,
    choice::Choice,
    identity::{Project, Resource},
};
use cirro_server::{Tx, http::Charges};
use std::collections::BTreeMap;

/// What instances take of a project's quota. What plans hold for instances is charged, too.
pub(crate) const CHARGES: Charges = Charges {
    resources: &RESOURCES,
    reserved: |tx, project| {
        let held = claims::held_in(tx.connection(), project)?;
        Ok(total(&held).into_iter().map(|(resource, amount)| (Resource::from_word(&resource), amount)).collect())
    },
};
const RESOURCES: [Resource; 3] = [Resource::Instances, Resource::Vcpus, Resource::MemoryMib];

/// What instances take of a project's quota: each resource with its amount.
pub(super) fn amounts(count: i64, need: &Need) -> [(&'static str, i64); 3] {
    [("instances", count), ("vcpus", need.vcpus.get() * count), ("memory_mib", need.memory_mib.get() * count)]
}

/// The limit of each of these resources.
fn limits(project: &Project) -> [(Resource, i64); 3] {
    RESOURCES.map(|resource| (resource.clone(), project.limit(&resource)))
}

/// What all of these take together.
pub(super) fn total(parts: &[(Need, i64)]) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for (resource, amount) in parts.iter().flat_map(|(need, count)| amounts(*count, need)) {
        *sums.entry(resource.to_owned()).or_default() += amount;
    }
    sums
}

/// Takes it all, or refuses with the resource that is too scarce.
pub(super) fn charge(tx: &mut Tx<'_>, project: &Project, parts: &[(Need, i64)]) -> Result<()> {
    let sums = total(parts);
    for (resource, limit) in limits(project) {
        let resource = resource.word();
        tx.charge(project.id, resource, sums.get(resource).copied().unwrap_or(0), limit)?;
    }
    Ok(())
}

/// Gives it back.
pub(super) fn refund(tx: &mut Tx<'_>, project: Id<Project>, parts: &[(Need, i64)]) -> Result<()> {
    for (resource, amount) in total(parts) {
        tx.refund(project, &resource, amount)?;
    }
    Ok(())
}

/// Takes or gives back what an instance takes more or less than before.
pub(crate) fn resize(tx: &mut Tx<'_>, project: &Project, from: &Need, to: &Need) -> Result<()> {
    let (before, after) = (amounts(1, from), amounts(1, to));
    for (n, (resource, limit)) in limits(project).into_iter().enumerate() {
        let more = after[n].1 - before[n].1;
        if more > 0 {
            tx.charge(project.id, resource.word(), more, limit)?;
        } else if more < 0 {
            tx.refund(project.id, resource.word(), -more)?;
        }
    }
    Ok(())
}

/// How many instances with this need the quota still allows.
pub(crate) fn room(tx: &mut Tx<'_>, project: &Project, need: &Need) -> Result<i64> {
    let mut least = i64::MAX;
    for ((resource, limit), (_, each)) in limits(project).into_iter().zip(amounts(1, need)) {
        let left = limit.saturating_sub(tx.used(project.id, resource.word())?).max(0);
        least = least.min(if each == 0 { i64::MAX } else { left / each });
    }
    Ok(least)
}

/// How many of each group the quota allows, earlier groups first, and what stops the rest.
pub(super) fn allowed(tx: &mut Tx<'_>, referenced: &Referenced, counts: &[i64]) -> Result<Vec<(i64, Option<Error>)>> {
    let mut left = Vec::new();
    for (resource, limit) in limits(&referenced.project) {
        let used = tx.used(referenced.project.id, resource.word())?;
        left.push((resource, limit, limit.saturating_sub(used).max(0)));
    }
    let mut allowed = Vec::new();
    for ((need, _), asked) in referenced.parts.iter().zip(counts) {
        let each = amounts(1, need);
        let room = |n: usize| if each[n].1 == 0 { i64::MAX } else { left[n].2 / each[n].1 };
        let scarcest = (0..each.len()).min_by_key(|n| room(*n)).unwrap_or(0);
        let count = room(scarcest).min(*asked);
        let refusal = (count < *asked).then(|| {
            let (resource, limit, free) = &left[scarcest];
            let (limit, free) = (*limit, *free);
            Error::Quota { resource: resource.to_string(), limit, used: limit - free, asked: each[scarcest].1 * asked }
        });
        for (left, (_, amount)) in left.iter_mut().zip(each) {
            left.2 -= amount * count;
        }
        allowed.push((count, refusal));
    }
    Ok(allowed)
}
