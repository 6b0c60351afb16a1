//! What plans hold for instances that do not exist yet: all of a plan that is held, and what is still to come of a large one that
//! is launched.

use super::{Claim, failed, need, tables::claim};
use crate::schedule::Need;
use cirro_models::{
    Error, Id, Result,
    compute::{Instance, LaunchPlan},
    identity::Project,
    sql::{AnyConnection, Column, GuidValue, JsonValue, MAX_VALUES, load_json, types::Guid},
};
use diesel::{prelude::*, sql_query, sql_types as st};

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = st::BigInt)]
    vcpus: i64,
    #[diesel(sql_type = st::BigInt)]
    memory_mib: i64,
    #[diesel(sql_type = st::BigInt)]
    disk_gib: i64,
    #[diesel(sql_type = st::BigInt)]
    count: i64,
}

/// Instance, node, processors, memory, disk, placement.
type Row = (GuidValue, GuidValue, i64, i64, i64, Option<JsonValue>);

/// A claim that a plan holds has no instance, and so no project of its own.
const IN_PROJECT: &str = "SELECT vcpus, memory_mib, disk_gib, count(*) AS count FROM claim \
    JOIN launchplan ON launchplan.id = claim.held_by WHERE launchplan.project_id = $1 \
    GROUP BY vcpus, memory_mib, disk_gib";
const OF_PLAN: &str = "SELECT vcpus, memory_mib, disk_gib, count(*) AS count FROM claim WHERE held_by = $1 \
    GROUP BY vcpus, memory_mib, disk_gib";

/// In which order what a plan holds is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// That of its instances: neighbours go to different nodes.
    Instances,
    /// One node after the other: each hears of all that it gets at once.
    Nodes,
}

/// The first that a plan holds.
pub(crate) fn held(c: &mut AnyConnection, plan: Id<LaunchPlan>, order: Order, most: i64) -> Result<Vec<Claim>> {
    let held = claim::table.filter(claim::held_by.eq(Some(plan.store()))).limit(most).into_boxed();
    let held = match order {
        Order::Instances => held.order(claim::instance_id),
        Order::Nodes => held.order((claim::node_id, claim::instance_id)),
    };
    let rows: Vec<Row> = held
        .select((
            claim::instance_id,
            claim::node_id,
            claim::vcpus,
            claim::memory_mib,
            claim::disk_gib,
            claim::placement,
        ))
        .load(c)
        .map_err(failed)?;
    let claim = |(instance, node, vcpus, memory, disk, placement): Row| {
        Ok(Claim {
            instance: Id::from_uuid(instance.0),
            node: Id::from_uuid(node.0),
            need: need(vcpus, memory, disk),
            held_by: Some(plan),
            placement: placement.map(load_json).transpose()?,
        })
    };
    rows.into_iter().map(claim).collect::<Result<_, String>>().map_err(Error::internal)
}

/// Those of these instances for which a plan still holds a claim.
pub(crate) fn held_among(
    c: &mut AnyConnection,
    plan: Id<LaunchPlan>,
    instances: &[Id<Instance>],
) -> Result<Vec<Id<Instance>>> {
    let mut found = Vec::new();
    for some in instances.chunks(MAX_VALUES / 2) {
        let rows: Vec<GuidValue> = claim::table
            .filter(claim::instance_id.eq_any(some.iter().map(Column::store)))
            .filter(claim::held_by.eq(Some(plan.store())))
            .order(claim::instance_id)
            .select(claim::instance_id)
            .load(c)
            .map_err(failed)?;
        found.extend(rows.into_iter().map(|id| Id::from_uuid(id.0)));
    }
    Ok(found)
}

/// What the plans of a project hold: each size with how often.
pub(crate) fn held_in(c: &mut AnyConnection, project: Id<Project>) -> Result<Vec<(Need, i64)>> {
    sizes(c, IN_PROJECT, project.store())
}

/// What a plan holds: each size with how often.
pub(crate) fn held_by(c: &mut AnyConnection, plan: Id<LaunchPlan>) -> Result<Vec<(Need, i64)>> {
    sizes(c, OF_PLAN, plan.store())
}

fn sizes(c: &mut AnyConnection, query: &'static str, whose: GuidValue) -> Result<Vec<(Need, i64)>> {
    let rows: Vec<Size> = sql_query(query).bind::<Guid, _>(whose).load(c).map_err(failed)?;
    Ok(rows.into_iter().map(|row| (need(row.vcpus, row.memory_mib, row.disk_gib), row.count)).collect())
}

/// These instances have what a plan held for them.
pub(crate) fn hand_over(c: &mut AnyConnection, instances: &[Id<Instance>]) -> Result<()> {
    for some in instances.chunks(MAX_VALUES / 2) {
        let theirs = claim::table.filter(claim::instance_id.eq_any(some.iter().map(Column::store)));
        diesel::update(theirs)
            .set((claim::held_by.eq(None::<GuidValue>), claim::placement.eq(None::<JsonValue>)))
            .execute(c)
            .map_err(failed)?;
    }
    Ok(())
}

/// A plan holds nothing any more.
pub(crate) fn release(c: &mut AnyConnection, plan: Id<LaunchPlan>) -> Result<()> {
    diesel::delete(claim::table.filter(claim::held_by.eq(Some(plan.store())))).execute(c).map(drop).map_err(failed)
}
