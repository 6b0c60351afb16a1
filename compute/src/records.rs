//! What only this service keeps: claims on nodes, what an instance is launched with, tombstones.

use crate::schedule::{Candidate, Need};
use cirro_models::{
    Error, Generation, GiB, Id, MiB, Result, Vcpus,
    compute::{
        Instance, Node,
        assignment::{ImageSpec, Tombstone},
        instance::UserData,
        node::NodeFilter,
    },
    sql::{AnyConnection, Both, Column, GuidValue, JsonValue, load_json, store_json},
};
use cirro_server::Tx;
use diesel::prelude::*;

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Guid, BigInt};
        claim (instance_id) { instance_id -> Guid, node_id -> Guid, vcpus -> BigInt, memory_mib -> BigInt, disk_gib -> BigInt, }
    }
    diesel::table! {
        use cirro_models::sql::types::{Guid, Json, Nullable, Text};
        launch (instance_id) { instance_id -> Guid, image -> Json, ssh_keys -> Json, user_data -> Nullable<Text>, }
    }
    diesel::table! {
        use cirro_models::sql::types::{Guid, BigInt};
        tombstone (instance_id) { instance_id -> Guid, node_id -> Guid, generation -> BigInt, epoch -> BigInt, }
    }
}
use tables::{claim, launch, tombstone};

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(error)
}

/// What an instance is launched with, decided when it was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) image: ImageSpec,
    pub(crate) ssh_keys: Vec<String>,
    pub(crate) user_data: Option<UserData>,
}

/// All nodes with what their claims leave free.
pub(crate) fn candidates(tx: &mut Tx<'_>) -> Result<Vec<Candidate>> {
    let nodes: Vec<Node> = tx.list(&NodeFilter::default(), 100_000)?;
    let claims: Vec<(GuidValue, i64, i64, i64)> = claim::table
        .select((claim::node_id, claim::vcpus, claim::memory_mib, claim::disk_gib))
        .load(tx.connection())
        .map_err(failed)?;
    let mut claimed: std::collections::HashMap<_, (i64, i64, i64)> = std::collections::HashMap::new();
    for (node, vcpus, memory, disk) in claims {
        let sum = claimed.entry(node.0).or_default();
        *sum = (sum.0 + vcpus, sum.1 + memory, sum.2 + disk);
    }
    let need = |(vcpus, memory, disk): (i64, i64, i64)| Need {
        vcpus: Vcpus::new(vcpus),
        memory_mib: MiB::new(memory),
        disk_gib: GiB::new(disk),
    };
    let candidate = |node: Node| Candidate {
        id: node.id,
        name: node.name.to_string(),
        status: node.status,
        schedulable: node.schedulable,
        capacity: Need { vcpus: node.vcpus, memory_mib: node.memory_mib, disk_gib: node.disk_gib },
        claimed: need(claimed.get(&node.id.uuid()).copied().unwrap_or_default()),
    };
    Ok(nodes.into_iter().map(candidate).collect())
}

pub(crate) fn add_claim(c: &mut AnyConnection, instance: Id<Instance>, node: Id<Node>, need: &Need) -> Result<()> {
    let row = (
        claim::instance_id.eq(instance.store()),
        claim::node_id.eq(node.store()),
        claim::vcpus.eq(need.vcpus.get()),
        claim::memory_mib.eq(need.memory_mib.get()),
        claim::disk_gib.eq(need.disk_gib.get()),
    );
    diesel::insert_into(claim::table).values(row).execute(c).map(drop).map_err(failed)
}

pub(crate) fn claims_on(c: &mut AnyConnection, node: Id<Node>) -> Result<i64> {
    claim::table.filter(claim::node_id.eq(node.store())).count().get_result(c).map_err(failed)
}

pub(crate) fn set_launch(c: &mut AnyConnection, instance: Id<Instance>, launched: &Launch) -> Result<()> {
    let row = (
        launch::instance_id.eq(instance.store()),
        launch::image.eq(store_json(&launched.image)),
        launch::ssh_keys.eq(store_json(&launched.ssh_keys)),
        launch::user_data.eq(launched.user_data.as_ref().map(UserData::expose)),
    );
    diesel::insert_into(launch::table).values(row).execute(c).map(drop).map_err(failed)
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

/// Orders that a guest be removed; a newer order replaces an older one.
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
    let set =
        (tombstone::node_id.eq(node.store()), tombstone::generation.eq(generation.get()), tombstone::epoch.eq(epoch));
    let insert = diesel::insert_into(tombstone::table).values(row);
    Both(insert.on_conflict(tombstone::instance_id).do_update().set(set)).execute(c).map(drop).map_err(failed)
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

/// Forgets everything of an instance that its node has confirmed to be gone. False if that was not asked of this node.
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
    if diesel::delete(ordered).execute(c).map_err(failed)? == 0 {
        return Ok(false);
    }
    forget(c, instance)?;
    Ok(true)
}

/// Forgets the claim and what the instance was launched with.
pub(crate) fn forget(c: &mut AnyConnection, instance: Id<Instance>) -> Result<()> {
    diesel::delete(claim::table.find(instance.store())).execute(c).map_err(failed)?;
    diesel::delete(launch::table.find(instance.store())).execute(c).map_err(failed)?;
    Ok(())
}
