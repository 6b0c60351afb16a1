//! Which nodes need not fetch an image, as far as compute knows: those where an instance of it has come up.

use cirro_models::{
    Error, Id, Result,
    compute::Node,
    images::MachineImage,
    sql::{AnyConnection, Column, GuidValue, types::Guid},
};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use std::collections::BTreeSet;

/// Nodes, each with an image that it has.
pub(super) type Fetched = BTreeSet<(Id<MachineImage>, Id<Node>)>;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Guid)]
    id: GuidValue,
}

/// A node's instances are few, an image's may be all there are.
const NODES: &str = "SELECT node.id FROM node WHERE EXISTS (SELECT 1 FROM instance WHERE instance.node_id = node.id \
    AND instance.image_id = $1 AND instance.ran_at IS NOT NULL)";

/// The nodes that have these images. A node forgets images that it needs room for, so some may fetch one again.
pub(super) fn find(c: &mut AnyConnection, images: impl IntoIterator<Item = Id<MachineImage>>) -> Result<Fetched> {
    let mut fetched = Fetched::new();
    for image in images.into_iter().collect::<BTreeSet<_>>() {
        let nodes: Vec<Row> = sql_query(NODES).bind::<Guid, _>(image.store()).load(c).map_err(Error::internal)?;
        fetched.extend(nodes.into_iter().map(|row| (image, Id::from_uuid(row.id.0))));
    }
    Ok(fetched)
}
