//! Statements that are no model's: room in pools, quota, and which report of a node was the last.

use cirro_models::{
    Error, GiB, Id, Result,
    compute::Node,
    identity::{Project, Resource},
    sql::{AnyConnection, Both, Column, GuidValue, JsonValue, load_json, store_json, types::Guid},
    storage::{StoragePool, Volume},
};
use cirro_server::{Tx, db::database_error, http::Charges};
use diesel::{prelude::*, sql_query, sql_types as st};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

diesel::table! {
    use cirro_models::sql::types::{BigInt, Guid};
    #[allow(unreachable_pub)]
    node_report (node_id) { node_id -> Guid, boot_id -> Guid, sequence -> BigInt, }
}

diesel::table! {
    use cirro_models::sql::types::{Guid, Json};
    #[allow(unreachable_pub)]
    node_files (node_id) { node_id -> Guid, volumes -> Json, }
}

/// How many volumes a project has.
pub(crate) const VOLUMES: &str = "volumes";
/// How much they take together, in GiB.
pub(crate) const VOLUME_GIB: &str = "volume_gib";

/// What volumes take of a project's quota. Nothing is set aside: a volume is charged when there is a row of it.
pub(crate) const CHARGES: Charges =
    Charges { resources: &[Resource::Volumes, Resource::VolumeGib], reserved: |_, _| Ok(Vec::new()) };

/// Takes a new volume's share of its project's quota. Everybody takes these in the order of their names, so that nobody
/// waits for somebody who waits for them.
pub(crate) fn charge(tx: &mut Tx<'_>, project: &Project, size: GiB) -> Result<()> {
    tx.charge(project.id, VOLUME_GIB, size.get(), project.max_volume_gib.get())?;
    tx.charge(project.id, VOLUMES, 1, project.max_volumes.get())
}

/// Gives back what volumes had of their projects' quotas, in one order for all.
pub(crate) fn refund(tx: &mut Tx<'_>, gone: &[Volume]) -> Result<()> {
    let mut back: BTreeMap<(Id<Project>, &str), i64> = BTreeMap::new();
    for volume in gone {
        *back.entry((volume.project_id, VOLUME_GIB)).or_default() += volume.size_gib.get();
        *back.entry((volume.project_id, VOLUMES)).or_default() += 1;
    }
    back.into_iter().try_for_each(|((project, resource), amount)| tx.refund(project, resource, amount))
}

/// Holds all pools until the transaction ends: where transactions run side by side, two placements would each see the
/// same room.
pub(crate) fn lock_pools(c: &mut AnyConnection) -> Result<()> {
    if let AnyConnection::Pg(c) = c {
        // not FOR UPDATE, which would also wait for the references of new volumes
        let lock = "SELECT id FROM storagepool ORDER BY id FOR NO KEY UPDATE";
        sql_query(lock).execute(c).map_err(database_error)?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Guid)]
    pool_id: GuidValue,
    #[diesel(sql_type = st::BigInt)]
    taken: i64,
}

/// What volumes take of each pool, in GiB, those being deleted included: their files are still there.
pub(crate) fn taken(c: &mut AnyConnection) -> Result<HashMap<Id<StoragePool>, i64>> {
    let sums =
        "SELECT pool_id, CAST(sum(size_gib) AS bigint) AS taken FROM volume WHERE pool_id IS NOT NULL GROUP BY pool_id";
    let rows: Vec<Taken> = sql_query(sums).load(c).map_err(database_error)?;
    Ok(rows.into_iter().map(|row| (Id::from_uuid(row.pool_id.0), row.taken)).collect())
}

/// Notes a report of a node; false when a later one of the same boot was noted before. Reports of one node that arrive at
/// once wait here for each other.
pub(crate) fn note_report(tx: &mut Tx<'_>, node: Id<Node>, boot: Uuid, sequence: u64) -> Result<bool> {
    let sequence = i64::try_from(sequence)
        .map_err(|_| Error::invalid("sequence", format!("{sequence} is out of range: count from 1")))?;
    let first = (
        node_report::node_id.eq(node.store()),
        node_report::boot_id.eq(GuidValue(boot)),
        node_report::sequence.eq(sequence),
    );
    let insert = diesel::insert_into(node_report::table).values(first);
    let inserted = Both(insert.on_conflict(node_report::node_id).do_nothing()).execute(tx.connection());
    if inserted.map_err(database_error)? == 1 {
        return Ok(true);
    }
    let older = node_report::boot_id.ne(GuidValue(boot)).or(node_report::sequence.lt(sequence));
    let updated = diesel::update(node_report::table.find(node.store()).filter(older))
        .set((node_report::boot_id.eq(GuidValue(boot)), node_report::sequence.eq(sequence)))
        .execute(tx.connection());
    Ok(updated.map_err(database_error)? == 1)
}

/// Keeps which volume files a node has, in the place of what it has told before.
pub(crate) fn keep_files(c: &mut AnyConnection, node: Id<Node>, files: &[Id<Volume>]) -> Result<()> {
    let volumes = node_files::volumes.eq(store_json(&files));
    let insert = diesel::insert_into(node_files::table).values((node_files::node_id.eq(node.store()), volumes.clone()));
    let upsert = insert.on_conflict(node_files::node_id).do_update().set(volumes);
    Both(upsert).execute(c).map(drop).map_err(database_error)
}

/// Whether this is what the node has told before.
pub(crate) fn has_files(c: &mut AnyConnection, node: Id<Node>, files: &[Id<Volume>]) -> Result<bool> {
    let kept = node_files::table.find(node.store()).select(node_files::volumes);
    let kept: Option<JsonValue> = kept.first(c).optional().map_err(database_error)?;
    Ok(kept == Some(store_json(&files)))
}

/// A node, and the volumes whose files it has.
pub(crate) type Files = (Id<Node>, Vec<Id<Volume>>);

/// The volume files that each node has told of.
pub(crate) fn files(c: &mut AnyConnection) -> Result<Vec<Files>> {
    let rows: Vec<(GuidValue, JsonValue)> = node_files::table.load(c).map_err(database_error)?;
    let read = |(node, volumes): (GuidValue, JsonValue)| Ok((Id::from_uuid(node.0), load_json(volumes)?));
    rows.into_iter().map(read).collect::<Result<_, String>>().map_err(Error::internal)
}
