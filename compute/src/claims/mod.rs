//! What instances take from nodes: rows of their own, which outlive an instance until its node has confirmed that it is
//! gone, and which a plan may hold before there is an instance.

mod held;

pub(crate) use held::{Order, hand_over, held, held_among, held_by, held_in, release};

use crate::{
    backoff,
    schedule::{Candidate, Need},
};
use cirro_models::{
    Error, GiB, Id, MiB, Result, Timestamp, Vcpus,
    compute::{Instance, LaunchPlan, Node, node::NodeFilter, placement::Placement},
    sql::{AnyConnection, Column, GuidValue, MAX_VALUES, insert_many, store_json, types::Guid},
};
use cirro_server::Tx;
use diesel::{prelude::*, sql_query, sql_types as st};
use std::collections::HashMap;
use uuid::Uuid;

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Guid, BigInt, Json, Nullable};
        claim (instance_id) {
            instance_id -> Guid,
            node_id -> Guid,
            vcpus -> BigInt,
            memory_mib -> BigInt,
            disk_gib -> BigInt,
            held_by -> Nullable<Guid>,
            placement -> Nullable<Json>,
        }
    }
}
use tables::claim;

/// What an instance takes from a node.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The instance that has it, or will.
    pub(crate) instance: Id<Instance>,
    /// The node.
    pub(crate) node: Id<Node>,
    /// How much.
    pub(crate) need: Need,
    /// The plan that holds it as long as there is no instance.
    pub(crate) held_by: Option<Id<LaunchPlan>>,
    /// Why it is that node; kept here while there is no instance to keep it.
    pub(crate) placement: Option<Placement>,
}

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = Guid)]
    node_id: GuidValue,
    #[diesel(sql_type = st::BigInt)]
    vcpus: i64,
    #[diesel(sql_type = st::BigInt)]
    memory_mib: i64,
    #[diesel(sql_type = st::BigInt)]
    disk_gib: i64,
}

/// PostgreSQL's sum of bigints is a numeric.
const SUMS: &str = "SELECT node_id, CAST(sum(vcpus) AS bigint) AS vcpus, CAST(sum(memory_mib) AS bigint) AS memory_mib, \
                    CAST(sum(disk_gib) AS bigint) AS disk_gib FROM claim GROUP BY node_id";

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(error)
}

fn need(vcpus: i64, memory: i64, disk: i64) -> Need {
    Need { vcpus: Vcpus::new(vcpus), memory_mib: MiB::new(memory), disk_gib: GiB::new(disk) }
}

/// All nodes with what is claimed of them.
pub(crate) fn candidates(tx: &mut Tx<'_>) -> Result<Vec<Candidate>> {
    let nodes: Vec<Node> = tx.list(&NodeFilter::default(), 100_000)?;
    let sums: Vec<Sum> = sql_query(SUMS).load(tx.connection()).map_err(failed)?;
    let claimed: HashMap<Uuid, Need> =
        sums.into_iter().map(|sum| (sum.node_id.0, need(sum.vcpus, sum.memory_mib, sum.disk_gib))).collect();
    let now = Timestamp::now();
    let candidate = |node: Node| Candidate {
        id: node.id,
        failing: backoff::is_left_alone(&node, now),
        status: node.status,
        mode: node.mode,
        capacity: Need { vcpus: node.vcpus, memory_mib: node.memory_mib, disk_gib: node.disk_gib },
        claimed: claimed.get(&node.id.uuid()).copied().unwrap_or_default(),
        labels: node.meta.labels,
    };
    Ok(nodes.into_iter().map(candidate).collect())
}

/// Adds claims, in as few statements as the database allows.
pub(crate) fn add(c: &mut AnyConnection, claims: &[Claim]) -> Result<()> {
    for claims in claims.chunks(MAX_VALUES / 7) {
        let row = |claim: &Claim| {
            (
                claim::instance_id.eq(claim.instance.store()),
                claim::node_id.eq(claim.node.store()),
                claim::vcpus.eq(claim.need.vcpus.get()),
                claim::memory_mib.eq(claim.need.memory_mib.get()),
                claim::disk_gib.eq(claim.need.disk_gib.get()),
                claim::held_by.eq(claim.held_by.map(|plan| plan.store())),
                claim::placement.eq(claim.placement.as_ref().map(store_json)),
            )
        };
        let rows: Vec<_> = claims.iter().map(row).collect();
        let insert = diesel::insert_into(claim::table).values(rows);
        insert_many(insert, c).map_err(failed)?;
    }
    Ok(())
}

/// The nodes of these instances.
pub(crate) fn nodes_of(c: &mut AnyConnection, instances: &[Id<Instance>]) -> Result<Vec<(Id<Instance>, Id<Node>)>> {
    let rows: Vec<(GuidValue, GuidValue)> = claim::table
        .filter(claim::instance_id.eq_any(instances.iter().map(Column::store)))
        .select((claim::instance_id, claim::node_id))
        .load(c)
        .map_err(failed)?;
    Ok(rows.into_iter().map(|(instance, node)| (Id::from_uuid(instance.0), Id::from_uuid(node.0))).collect())
}

/// An instance, its node, and what it takes there.
pub(crate) type Place = (Id<Instance>, Id<Node>, Need);

/// The nodes of these instances, and what each takes there.
pub(crate) fn places(c: &mut AnyConnection, instances: &[Id<Instance>]) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for some in instances.chunks(MAX_VALUES) {
        let rows: Vec<(GuidValue, GuidValue, i64, i64, i64)> = claim::table
            .filter(claim::instance_id.eq_any(some.iter().map(Column::store)))
            .select((claim::instance_id, claim::node_id, claim::vcpus, claim::memory_mib, claim::disk_gib))
            .load(c)
            .map_err(failed)?;
        places.extend(rows.into_iter().map(|(instance, node, vcpus, memory, disk)| {
            (Id::from_uuid(instance.0), Id::from_uuid(node.0), need(vcpus, memory, disk))
        }));
    }
    Ok(places)
}

/// How many claims there are on a node.
pub(crate) fn count_on(c: &mut AnyConnection, node: Id<Node>) -> Result<i64> {
    claim::table.filter(claim::node_id.eq(node.store())).count().get_result(c).map_err(failed)
}

/// An instance takes so much from now on.
pub(crate) fn resize(c: &mut AnyConnection, instance: Id<Instance>, need: &Need) -> Result<()> {
    diesel::update(claim::table.find(instance.store()))
        .set((
            claim::vcpus.eq(need.vcpus.get()),
            claim::memory_mib.eq(need.memory_mib.get()),
            claim::disk_gib.eq(need.disk_gib.get()),
        ))
        .execute(c)
        .map(drop)
        .map_err(failed)
}

/// An instance takes nothing any more.
pub(crate) fn remove(c: &mut AnyConnection, instance: Id<Instance>) -> Result<()> {
    diesel::delete(claim::table.find(instance.store())).execute(c).map(drop).map_err(failed)
}
