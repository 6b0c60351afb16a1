//! What each node has told that it holds: kept for the audit, which compares it with who should hold what.

use cirro_models::{
    Error, Id, Result, Timestamp,
    compute::{Instance, Node, report::Holdings},
    sql::{AnyConnection, Both, Column, GuidValue, InstantValue, JsonValue, load_json, store_json},
};
use diesel::prelude::*;

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Guid, Instant, Json};
        node_holdings (node_id) { node_id -> Guid, guests -> Json, files -> Json, told_at -> Instant, }
    }
}
use tables::node_holdings as row;

/// What a node has told, and when.
pub(crate) struct Told {
    pub(crate) node: Id<Node>,
    pub(crate) holdings: Holdings,
    pub(crate) at: Timestamp,
}

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(error)
}

/// Keeps it in the place of what the node has told before.
pub(crate) fn keep(c: &mut AnyConnection, node: Id<Node>, holdings: &Holdings) -> Result<()> {
    let told = (
        row::guests.eq(store_json(&holdings.guests)),
        row::files.eq(store_json(&holdings.files)),
        row::told_at.eq(Timestamp::now().store()),
    );
    let insert = diesel::insert_into(row::table).values((row::node_id.eq(node.store()), told.clone()));
    Both(insert.on_conflict(row::node_id).do_update().set(told)).execute(c).map(drop).map_err(failed)
}

/// The node has confirmed that nothing is left of these: that is newer than what it has told of all.
pub(crate) fn without(c: &mut AnyConnection, node: Id<Node>, gone: &[Id<Instance>]) -> Result<()> {
    let kept = row::table.find(node.store()).select((row::guests, row::files));
    let kept: Option<(JsonValue, JsonValue)> = kept.first(c).optional().map_err(failed)?;
    let Some((guests, files)) = kept else { return Ok(()) };
    let mut holdings = read(guests, files)?;
    holdings.guests.retain(|id| !gone.contains(id));
    holdings.files.retain(|id| !gone.contains(id));
    let left = (row::guests.eq(store_json(&holdings.guests)), row::files.eq(store_json(&holdings.files)));
    diesel::update(row::table.find(node.store())).set(left).execute(c).map(drop).map_err(failed)
}

/// A node that is gone holds nothing.
pub(crate) fn forget(c: &mut AnyConnection, node: Id<Node>) -> Result<()> {
    diesel::delete(row::table.find(node.store())).execute(c).map(drop).map_err(failed)
}

/// What all nodes have told.
pub(crate) fn all(c: &mut AnyConnection) -> Result<Vec<Told>> {
    let rows: Vec<(GuidValue, JsonValue, JsonValue, InstantValue)> = row::table.load(c).map_err(failed)?;
    let told = |(node, guests, files, at): (GuidValue, JsonValue, JsonValue, InstantValue)| {
        let at = Timestamp::from_micros(at.0);
        Ok(Told { node: Id::from_uuid(node.0), holdings: read(guests, files)?, at })
    };
    rows.into_iter().map(told).collect()
}

fn read(guests: JsonValue, files: JsonValue) -> Result<Holdings> {
    let ids = |json| load_json::<Vec<Id<Instance>>>(json).map_err(Error::internal);
    Ok(Holdings { guests: ids(guests)?, files: ids(files)? })
}
