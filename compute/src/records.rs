//! What only this service keeps: what an instance is launched with, and tombstones.

use crate::{claims, launch::references::Launch};
use cirro_models::{
    Error, Generation, Id, Result,
    compute::{
        Instance, Node,
        assignment::{ImageSpec, Tombstone},
        instance::UserData,
    },
    sql::{AnyConnection, Both, Column, GuidValue, JsonValue, MAX_VALUES, insert_many, load_json, store_json},
};
use diesel::prelude::*;

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Guid, Json, Nullable, Text};
        launch (instance_id) { instance_id -> Guid, image -> Json, ssh_keys -> Json, user_data -> Nullable<Text>, }
    }
    diesel::table! {
        use cirro_models::sql::types::{Guid, BigInt};
        tombstone (instance_id, node_id) { instance_id -> Guid, node_id -> Guid, generation -> BigInt, epoch -> BigInt, }
    }
}
use tables::{launch, tombstone};

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(error)
}

/// Keeps what each of these is launched with, in as few statements as the database allows.
pub(crate) fn set_launches(c: &mut AnyConnection, launched: &[(Id<Instance>, &Launch)]) -> Result<()> {
    for launched in launched.chunks(MAX_VALUES / 4) {
        let row = |(instance, launch): &(Id<Instance>, &Launch)| {
            (
                launch::instance_id.eq(instance.store()),
                launch::image.eq(store_json(&launch.image)),
                launch::ssh_keys.eq(store_json(&launch.ssh_keys)),
                launch::user_data.eq(launch.user_data.as_ref().map(|data| data.expose().to_owned())),
            )
        };
        let rows: Vec<_> = launched.iter().map(row).collect();
        let insert = diesel::insert_into(launch::table).values(rows);
        insert_many(insert, c).map_err(failed)?;
    }
    Ok(())
}

pub(crate) fn launches(c: &mut AnyConnection, instances: &[Id<Instance>]) -> Result<Vec<(Id<Instance>, Launch)>> {
    let ids = instances.iter().map(Column::store);
    let rows: Vec<(GuidValue, JsonValue, JsonValue, Option<String>)> = launch::table
        .filter(launch::instance_id.eq_any(ids))
        .select((launch::instance_id, launch::image, launch::ssh_keys, launch::user_data))
        .load(c)
        .map_err(failed)?;
    let read = |(id, image, ssh_keys, user_data): (GuidValue, _, _, Option<String>)| {
        let launch = Launch {
            image: load_json(image)?,
            ssh_keys: load_json(ssh_keys)?,
            user_data: user_data.map(UserData::new),
        };
        Ok((Id::from_uuid(id.0), launch))
    };
    rows.into_iter().map(read).collect::<Result<_, String>>().map_err(Error::internal)
}

/// An instance's root disk is made from this image from now on.
pub(crate) fn set_image(c: &mut AnyConnection, instance: Id<Instance>, image: &ImageSpec) -> Result<()> {
    diesel::update(launch::table.find(instance.store()))
        .set(launch::image.eq(store_json(image)))
        .execute(c)
        .map(drop)
        .map_err(failed)
}

/// Orders that a guest be removed from a node; a newer order to it replaces an older one.
pub(crate) fn add_tombstone(
    c: &mut AnyConnection,
    instance: Id<Instance>,
    node: Id<Node>,
    generation: Generation,
    epoch: i64,
) -> Result<()> {
    let row = (
        tombstone::instance_id.eq(instance.store()),
        tombstone::node_id.eq(node.store()),
        tombstone::generation.eq(generation.get()),
        tombstone::epoch.eq(epoch),
    );
    let set = (tombstone::generation.eq(generation.get()), tombstone::epoch.eq(epoch));
    let insert = diesel::insert_into(tombstone::table).values(row);
    Both(insert.on_conflict((tombstone::instance_id, tombstone::node_id)).do_update().set(set))
        .execute(c)
        .map(drop)
        .map_err(failed)
}

pub(crate) fn tombstones(c: &mut AnyConnection, node: Id<Node>) -> Result<Vec<Tombstone>> {
    let rows: Vec<(GuidValue, i64, i64)> = tombstone::table
        .filter(tombstone::node_id.eq(node.store()))
        .select((tombstone::instance_id, tombstone::generation, tombstone::epoch))
        .load(c)
        .map_err(failed)?;
    let read = |(id, generation, epoch): (GuidValue, i64, i64)| Tombstone {
        id: Id::from_uuid(id.0),
        generation: Generation::new(generation),
        epoch: epoch.to_string(),
    };
    Ok(rows.into_iter().map(read).collect())
}

/// The nodes that are ordered to remove any of these.
pub(crate) fn ordered_away(c: &mut AnyConnection, instances: &[Id<Instance>]) -> Result<Vec<Id<Node>>> {
    let ordered = tombstone::table.filter(tombstone::instance_id.eq_any(instances.iter().map(Column::store)));
    let nodes: Vec<GuidValue> = ordered.select(tombstone::node_id).load(c).map_err(failed)?;
    Ok(nodes.into_iter().map(|node| Id::from_uuid(node.0)).collect())
}

/// Takes back the order to remove an instance, which its node has confirmed. False if that was not asked of this node.
pub(crate) fn confirm_gone(
    c: &mut AnyConnection,
    instance: Id<Instance>,
    node: Id<Node>,
    generation: Generation,
) -> Result<bool> {
    let ordered = tombstone::table
        .filter(tombstone::instance_id.eq(instance.store()))
        .filter(tombstone::node_id.eq(node.store()))
        .filter(tombstone::generation.le(generation.get()));
    diesel::delete(ordered).execute(c).map(|rows| rows > 0).map_err(failed)
}

/// Takes back every order to a node that is gone for ever.
pub(crate) fn forget_tombstones(c: &mut AnyConnection, node: Id<Node>) -> Result<()> {
    let of_node = tombstone::table.filter(tombstone::node_id.eq(node.store()));
    diesel::delete(of_node).execute(c).map(drop).map_err(failed)
}

/// Forgets the claim and what the instance was launched with.
pub(crate) fn forget(c: &mut AnyConnection, instance: Id<Instance>) -> Result<()> {
    claims::remove(c, instance)?;
    diesel::delete(launch::table.find(instance.store())).execute(c).map_err(failed)?;
    Ok(())
}
