//! What nodes hold, compared with what they should.

use crate::holdings::{self, Told};
use cirro_models::{
    Id, Result,
    compute::{Instance, Node, instance::instance_rows},
    finding::{Finding, Kind},
    sql::{AnyConnection, GuidValue, InstantValue},
};
use cirro_server::{audit::ids_of_two, db::database_error};
use diesel::prelude::*;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

pub(super) const GUEST_MISSING: Kind = Kind {
    code: "compute.guest-missing",
    thing: "instance",
    means: "its node reported it, and does not hold its guest any more",
    remedy: "look at the node's log: its agent should make the guest again",
};
pub(super) const GUEST_UNKNOWN: Kind = Kind {
    code: "compute.guest-unknown",
    thing: "guest",
    means: "a node holds it, no instance there stands for it, and nobody has been told",
    remedy: "look at the node with `virsh list --all`; restart its agent, which reports it as unclaimed",
};
pub(super) const FILES_LEFT: Kind = Kind {
    code: "compute.files-left",
    thing: "instance",
    means: "a node has disks of it, and neither a guest nor an instance there needs them",
    remedy: "when you are sure that nobody wants the data, remove `instances/ID` in the folder of the node's agent",
};

/// How much older than what its node told an instance's row has to be to be compared with it, in microseconds: clocks of
/// compute's processes differ, and a report takes its time.
const SETTLED_US: i64 = 15_000_000;

/// What compute knows of one instance.
struct Row {
    node: Uuid,
    /// Its node should have a guest, and has had one for a while.
    since: Option<i64>,
}

/// The differences, node by node.
pub(super) fn find(c: &mut AnyConnection) -> Result<Vec<Finding>> {
    let told = holdings::all(c)?;
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let instances = instances(c)?;
    let orders: HashSet<_> = ids_of_two(c, "SELECT instance_id AS id, node_id AS other FROM tombstone")?;
    let unclaimed: HashSet<_> = ids_of_two(c, "SELECT instance_id AS id, node_id AS other FROM unclaimedguest")?;
    let mut found = Vec::new();
    for told in &told {
        let node = told.node.uuid();
        let known = |id: &Id<Instance>| {
            let pair = (id.uuid(), node);
            instances.get(&pair.0).is_some_and(|row| row.node == node) || orders.contains(&pair)
        };
        let nobodys = |id: &&Id<Instance>| !known(id) && !unclaimed.contains(&(id.uuid(), node));
        found.extend(told.holdings.guests.iter().filter(nobodys).map(|id| of(&GUEST_UNKNOWN, *id, told.node)));
        found.extend(told.holdings.files.iter().filter(|id| !known(id)).map(|id| of(&FILES_LEFT, *id, told.node)));
    }
    found.extend(missing(&told, &instances));
    Ok(found)
}

fn of(kind: &Kind, instance: Id<Instance>, node: Id<Node>) -> Finding {
    kind.found(instance.uuid(), Some(node.uuid()), None)
}

/// Instances whose node holds others, but not them.
fn missing(told: &[Told], instances: &HashMap<Uuid, Row>) -> Vec<Finding> {
    let by_node: HashMap<Uuid, (&Told, HashSet<Uuid>)> = told
        .iter()
        .map(|told| (told.node.uuid(), (told, told.holdings.guests.iter().map(|id| id.uuid()).collect())))
        .collect();
    let lacks = |(id, row): (&Uuid, &Row)| {
        let (told, guests) = by_node.get(&row.node)?;
        let settled = row.since? + SETTLED_US < told.at.micros();
        (settled && !guests.contains(id)).then(|| GUEST_MISSING.found(*id, Some(row.node), None))
    };
    instances.iter().filter_map(lacks).collect()
}

type Columns = (GuidValue, Option<GuidValue>, String, i64, i64, InstantValue, Option<InstantValue>);

fn instances(c: &mut AnyConnection) -> Result<HashMap<Uuid, Row>> {
    let rows: Vec<Columns> = instance_rows::table
        .filter(instance_rows::node_id.is_not_null())
        .select((
            instance_rows::id,
            instance_rows::node_id,
            instance_rows::status,
            instance_rows::generation,
            instance_rows::observed_generation,
            instance_rows::updated_at,
            instance_rows::deleted_at,
        ))
        .load(c)
        .map_err(database_error)?;
    let read = |(id, node, status, generation, observed, updated, deleted): Columns| {
        let rests = matches!(status.as_str(), "running" | "stopped") && generation == observed && deleted.is_none();
        Some((id.0, Row { node: node?.0, since: rests.then_some(updated.0) }))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
