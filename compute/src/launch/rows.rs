//! The rows of accepted instances.

use crate::{
    claims::{self, Claim},
    launch::{
        Referenced,
        begin::{self, Begun, Changed},
        names, quota,
        references::Launch,
        rest::Rest,
    },
    records,
    schedule::{self, Asked, Need},
    states,
};
use cirro_models::{
    Error, Id, Result,
    compute::{
        Instance, LaunchPlan, Node,
        instance::NewInstance,
        launch_group::{LaunchGroup, MOST},
        placement::{Placement, PlacementPolicy},
    },
    meta::Meta,
    model::{Model, Seed},
};
use cirro_server::Tx;
use uuid::Uuid;

/// The id of a plan's instance with this index, which counts from 0 over all groups. It follows from the plan's, so that
/// expanding a plan again makes nothing twice; ids of a plan sort as its instances do.
pub(crate) fn instance_id(plan: Id<LaunchPlan>, index: usize) -> Id<Instance> {
    Id::from_uuid(Uuid::from_u128(plan.uuid().as_u128().wrapping_add(index as u128 + 1)))
}

/// The index from which [`instance_id`] makes this id; nothing if it is no instance of the plan.
pub(crate) fn instance_index(plan: Id<LaunchPlan>, instance: Id<Instance>) -> Option<i64> {
    let after = instance.uuid().as_u128().checked_sub(plan.uuid().as_u128())?;
    i64::try_from(after.checked_sub(1)?).ok().filter(|index| *index < MOST)
}

/// Group and number of each instance of a plan, in order.
pub(super) fn numbered(plan: &LaunchPlan) -> impl Iterator<Item = (usize, i64)> + '_ {
    plan.groups.iter().enumerate().flat_map(|(group, asked)| (1..=asked.count.get()).map(move |number| (group, number)))
}

/// Which group of its plan an instance belongs to, by its id.
pub(crate) fn group_of(plan: &LaunchPlan, instance: Id<Instance>) -> Option<usize> {
    number_of(plan, instance).map(|(group, _)| group)
}

/// Group and number of a plan's instance, by its id.
fn number_of(plan: &LaunchPlan, instance: Id<Instance>) -> Option<(usize, i64)> {
    let mut index = instance_index(plan.id, instance)?;
    for (group, asked) in plan.groups.iter().enumerate() {
        if index < asked.count.get() {
            return Some((group, index + 1));
        }
        index -= asked.count.get();
    }
    None
}

/// Takes the quota, the place and the claim of a single instance, and adds its row: all or nothing.
pub(crate) fn accept_one(tx: &mut Tx<'_>, mut draft: Instance, referenced: &Referenced) -> Result<Instance> {
    let Some((need, launch)) = referenced.parts.first() else {
        return Err(Error::internal("an instance was launched from nothing"));
    };
    // nothing else is placed from here on
    names::require_not_to_come(tx, draft.project_id, draft.name.as_str())?;
    quota::charge(tx, &referenced.project, &[(*need, 1)])?;
    let groups = [Asked { name: draft.name.to_string(), need: *need, count: 1 }];
    let seed = draft.id.uuid().as_u64_pair().1;
    let request = schedule::Request {
        groups: &groups,
        rules: &[],
        policy: &PlacementPolicy::Spread,
        seed,
        without: &[],
        present: &[],
    };
    let (node, placement) = schedule::place(&request, &claims::candidates(tx)?)?;
    (draft.node_id, draft.placement) = (Some(node), Some(placement));
    (draft.vcpus, draft.memory_mib, draft.disk_gib) = (need.vcpus, need.memory_mib, need.disk_gib);
    draft.status_deadline = states::deadline(&draft.status);
    tx.insert(&draft)?;
    claims::add(tx.connection(), &[Claim { instance: draft.id, node, need: *need, held_by: None, placement: None }])?;
    records::set_launches(tx.connection(), &[(draft.id, launch)])?;
    Ok(draft)
}

/// An instance of a plan that has a place.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) id: Id<Instance>,
    pub(super) group: usize,
    /// From 1.
    pub(super) number: i64,
    pub(super) need: Need,
    pub(super) node: Id<Node>,
    pub(super) placement: Placement,
}

impl Placed {
    /// What a plan holds a claim for; nothing if it says no longer where and why.
    pub(super) fn held(plan: &LaunchPlan, claim: Claim) -> Option<Self> {
        let (group, number) = number_of(plan, claim.instance)?;
        let (id, need, node) = (claim.instance, claim.need, claim.node);
        Some(Self { id, group, number, need, node, placement: claim.placement? })
    }
}

/// Adds the rows of a plan's instances, the first `begun` of which begin at once: each on its node, or elsewhere where that has
/// changed.
pub(super) fn add(
    tx: &mut Tx<'_>,
    plan: &LaunchPlan,
    rest: &Rest,
    placed: &[Placed],
    changed: &Changed,
    begun: usize,
) -> Result<()> {
    let mut rows = Vec::with_capacity(placed.len());
    let mut launched: Vec<(Id<Instance>, &Launch)> = Vec::with_capacity(placed.len());
    let mut elsewhere = Vec::new();
    for (n, place) in placed.iter().enumerate() {
        let mut row = draft(plan, &plan.groups[place.group], place, &rest.by)?;
        if n < begun && changed.begin(&mut row, place.node) == Begun::Elsewhere {
            elsewhere.push(row.id);
        }
        launched.push((row.id, &rest.launches[place.group]));
        rows.push(row);
    }
    tx.insert_all(&rows)?;
    begin::give_up(tx, elsewhere)?;
    records::set_launches(tx.connection(), &launched)
}

fn draft(plan: &LaunchPlan, group: &LaunchGroup, place: &Placed, by: &str) -> Result<Instance> {
    let template = &group.template;
    let new = NewInstance {
        name: group.instance_name(place.number).map_err(|error| Error::invalid("groups", error))?,
        flavor_id: template.flavor_id,
        image_id: template.image_id,
        ssh_key_ids: (!template.ssh_key_ids.is_empty()).then(|| template.ssh_key_ids.clone()),
        power: None,
        user_data: None,
        protected: None,
        on_node_loss: template.on_node_loss.clone(),
        labels: group.labels.clone(),
    };
    let seed = Seed { id: place.id.uuid(), project: Some(plan.project_id), user: None, meta: Meta::created(by) };
    let mut row = Instance::build(new, seed)?;
    row.plan_id = Some(plan.id);
    row.placement = Some(place.placement.clone());
    (row.vcpus, row.memory_mib, row.disk_gib) = (place.need.vcpus, place.need.memory_mib, place.need.disk_gib);
    Ok(row)
}
