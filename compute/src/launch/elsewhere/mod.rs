//! Instances that go to another node. There is one way for all of them, and it never makes two copies:
//!
//! | step     | `node_id` | `leaving_node_id` | claim      | tombstone |
//! |----------|-----------|-------------------|------------|-----------|
//! | is to go | its node  | its node          | its node   | no        |
//! | waits    | none      | its node          | its node   | its node  |
//! | homeless | none      | its node          | none       | no        |
//! | settled  | another   | none              | the other  | no        |
//!
//! It is to go when its node could not launch it; it waits until that node has confirmed that nothing of it is there, however
//! long that takes; then it is placed by the scheduler, as it would have been in the first place. One whose node takes no instances
//! any more when its turn to begin comes is homeless from the start.

mod search;

use crate::{
    claims::{self, Claim},
    launch::{PLACEMENT, volumes},
    records, states,
};
use cirro_models::{
    Context, Error, Id, Result,
    compute::{
        Instance, Node,
        instance::{InstanceStatus, instance_rows},
        placement::{Placement, Tried},
    },
    sql::{Column, GuidValue, types::Guid},
};
use cirro_server::{OwnerContext, Tx};
use diesel::{prelude::*, sql_query, sql_types as st};
use search::Search;

/// On how many nodes an instance is tried.
const MOST_TRIES: usize = 3;
/// How many go on in one transaction.
const BATCH: i64 = 100;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Guid)]
    id: GuidValue,
}

/// In the order of the index of those that leave, which are few.
const DUE: &str = "SELECT instance.id FROM instance LEFT JOIN claim ON claim.instance_id = instance.id \
    WHERE instance.leaving_node_id IS NOT NULL AND instance.deleted_at IS NULL \
    AND (instance.node_id IS NOT NULL OR claim.instance_id IS NULL) ORDER BY instance.leaving_node_id, instance.id \
    LIMIT $1";

/// Has an instance go that its node could not launch, if it has never come up there and others may be tried. What was tried is
/// kept in either case; false where it stays.
pub(crate) fn is_to_go(instance: &mut Instance, node: Id<Node>, reason: &str) -> bool {
    if instance.leaving_node_id.is_some() {
        return true;
    }
    let Some(placement) = instance.placement.as_mut().filter(|_| instance.ran_at.is_none()) else { return false };
    placement.tried.retain(|tried| tried.node_id != node);
    placement.tried.push(Tried { node_id: node, reason: reason.to_owned() });
    if placement.tried.len() >= MOST_TRIES {
        return false;
    }
    instance.leaving_node_id = Some(node);
    instance.status = InstanceStatus::Pending;
    instance.status_deadline = states::deadline(&instance.status);
    instance.status_reason = Some(format!("{reason}; it goes to another node, if one can take it"));
    true
}

/// Has one that has not begun yet look for another node than the one that was found for it, which takes none any more: it is homeless
/// once its claim there is gone.
pub(crate) fn look_elsewhere(instance: &mut Instance, node: Id<Node>, why: &str) {
    instance.leaving_node_id = Some(node);
    instance.status_deadline = states::deadline(&instance.status);
    instance.status_reason = Some(format!("{why}; it goes to another node, if one can take it"));
    if let Some(placement) = &mut instance.placement {
        placement.tried.push(Tried { node_id: node, reason: why.to_owned() });
    }
}

/// The reason of an instance that has failed for good, with how often it was tried.
pub(crate) fn after_tries(instance: &Instance, reason: &str) -> String {
    match tries(instance) {
        0 | 1 => reason.to_owned(),
        n => format!("{reason} (the last of {n} nodes that were tried)"),
    }
}

fn tries(instance: &Instance) -> usize {
    instance.placement.as_ref().map_or(0, |placement| placement.tried.len())
}

/// Has one that failed without having a node placed anew.
pub(crate) fn ask_again(instance: &mut Instance) {
    let last = instance.placement.as_ref().and_then(|placement| placement.tried.last()).map(|tried| tried.node_id);
    if instance.node_id.is_none() && instance.leaving_node_id.is_none() && instance.status == InstanceStatus::Failed {
        instance.leaving_node_id = last;
    }
}

/// Brings instances on that are to go or are homeless; says whether there was one. Whoever is late or twice does no harm:
/// every step reads and writes in one transaction.
pub(crate) async fn step(ctx: &Context) -> Result<bool> {
    let load = |c: &mut _| sql_query(DUE).bind::<st::BigInt, _>(BATCH).load::<Row>(c).map_err(Error::internal);
    let due: Vec<Id<Instance>> =
        ctx.database()?.read(load).await?.into_iter().map(|row| Id::from_uuid(row.id.0)).collect();
    if due.is_empty() {
        return Ok(false);
    }
    let used = volumes::used_by(ctx, &due).await?;
    let epoch = ctx.database()?.feed().epoch();
    ctx.write(move |tx| {
        tx.exclusive(PLACEMENT)?;
        let mut search = Search::new(tx)?;
        for id in &due {
            let Some(instance) = tx.find::<Instance>(*id)?.filter(|found| found.meta.deleted_at.is_none()) else {
                continue;
            };
            match (instance.node_id, instance.leaving_node_id) {
                (Some(_), Some(_)) if used.contains(id) => stay(tx, &instance, "a volume is attached to it there")?,
                (Some(node), Some(_)) => match search.place_for(tx, &instance)? {
                    // the place is looked for again when it has left: this one is not kept meanwhile
                    Ok((other, _)) => {
                        search.take(&instance, other);
                        leave(tx, &instance, node, epoch)?;
                    }
                    Err(refusal) => stay(tx, &instance, &nowhere(refusal))?,
                },
                (None, Some(_)) if claims::nodes_of(tx.connection(), &[*id])?.is_empty() => {
                    settle(tx, &mut search, &instance)?;
                }
                _ => {}
            }
        }
        Ok(())
    })
    .await?;
    Ok(true)
}

/// Orders the node to remove what it has of an instance, which is nowhere until the node has confirmed that.
pub(crate) fn leave(tx: &mut Tx<'_>, instance: &Instance, node: Id<Node>, epoch: i64) -> Result<Instance> {
    let name = tx.find::<Node>(node)?.map_or_else(|| node.to_string(), |node| node.name.to_string());
    let left = tx.change_from(instance, |instance| {
        (instance.node_id, instance.leaving_node_id) = (None, Some(node));
        // above what the node was told, so that its order to remove it holds, and the next one takes it as newer
        instance.generation = instance.generation.next();
        (instance.ran_at, instance.address) = (None, None);
        instance.status = InstanceStatus::Pending;
        instance.status_deadline = states::deadline(&instance.status);
        instance.status_reason = Some(format!(
            "it waits for node {name} to confirm that nothing of it is left there, to go to another node"
        ));
    })?;
    records::add_tombstone(tx.connection(), instance.id, node, left.generation, epoch)?;
    Ok(left)
}

/// It has left a node that is lost, as if the node had confirmed: it is homeless. The node is told to remove it if it ever comes
/// back.
pub(crate) fn lose(tx: &mut Tx<'_>, instance: &Instance, node: &Node, epoch: i64) -> Result<()> {
    let left = leave(tx, instance, node.id, epoch)?;
    claims::remove(tx.connection(), instance.id)?;
    let reason = format!("node {} was lost and switched off", node.name);
    tx.change_from(&left, |instance| {
        instance.status_reason = Some(format!("{reason}; it is made anew on another one"));
        if let Some(placement) = &mut instance.placement {
            placement.tried.retain(|tried| tried.node_id != node.id);
            placement.tried.push(Tried { node_id: node.id, reason });
        }
    })
    .map(drop)
}

/// It stays on a node that is lost, and waits for it.
pub(crate) fn wait_for(tx: &mut Tx<'_>, instance: &Instance, node: &Node, why: &str) -> Result<()> {
    tx.change_from(instance, |instance| {
        // whatever it was doing, it does no more; what its node reports when it is back follows on this
        (instance.status, instance.status_deadline) = (InstanceStatus::Pending, None);
        instance.address = None;
        instance.status_reason =
            Some(format!("it waits for node {}, which was lost and switched off, to come back: {why}", node.name));
    })
    .map(drop)
}

/// Its node is gone for ever, and it does not go elsewhere by itself.
pub(crate) fn end(tx: &mut Tx<'_>, instance: &Instance, node: &Node) -> Result<()> {
    let reason = format!("node {} is gone for ever, and the disk of this instance with it", node.name);
    tx.change_from(instance, |instance| {
        (instance.node_id, instance.leaving_node_id) = (None, None);
        (instance.ran_at, instance.address) = (None, None);
        (instance.status, instance.status_deadline) = (InstanceStatus::Failed, None);
        instance.status_reason = Some(format!("{reason}: start it to have it made anew from its image, or delete it"));
        instance.generation = instance.generation.next();
        if let Some(placement) = &mut instance.placement {
            placement.tried.push(Tried { node_id: node.id, reason });
        }
    })
    .map(drop)
}

/// Those that have left this node, and wait for it to confirm that.
pub(crate) fn leaving(tx: &mut Tx<'_>, node: Id<Node>) -> Result<Vec<Instance>> {
    let found: Vec<GuidValue> = instance_rows::table
        .filter(instance_rows::leaving_node_id.eq(Some(node.store())))
        .filter(instance_rows::node_id.is_null())
        .select(instance_rows::id)
        .load(tx.connection())
        .map_err(Error::internal)?;
    let rows = found.into_iter().map(|id| tx.get(Id::from_uuid(id.0)));
    rows.collect()
}

/// Whether it is nowhere until the node that it leaves has confirmed.
pub(crate) fn waits(instance: &Instance) -> bool {
    instance.node_id.is_none() && instance.leaving_node_id.is_some()
}

/// The node that an instance without one waits for.
pub(crate) fn waits_for(tx: &mut Tx<'_>, instance: &Instance) -> Result<Option<Id<Node>>> {
    let held = claims::nodes_of(tx.connection(), &[instance.id])?;
    Ok(instance.leaving_node_id.filter(|leaving| held.iter().any(|(_, node)| node == leaving)))
}

/// Gives a homeless instance its next node, with its claim.
fn settle(tx: &mut Tx<'_>, search: &mut Search, instance: &Instance) -> Result<()> {
    let (node, placement) = match search.place_for(tx, instance)? {
        Ok(place) => place,
        Err(refusal) => return stay(tx, instance, &nowhere(refusal)),
    };
    search.take(instance, node);
    let (need, tried) = (search::need(instance), instance.placement.as_ref().map(|before| before.tried.clone()));
    let claim = Claim { instance: instance.id, node, need, held_by: None, placement: None };
    claims::add(tx.connection(), &[claim])?;
    tx.change_from(instance, |instance| {
        (instance.node_id, instance.leaving_node_id) = (Some(node), None);
        instance.placement = Some(Placement { tried: tried.unwrap_or_default(), ..placement });
        instance.status = InstanceStatus::Pending;
        instance.status_deadline = states::deadline(&instance.status);
        instance.status_reason = None;
    })
    .map(drop)
}

/// Why no other node can take it.
fn nowhere(refusal: Error) -> String {
    match refusal {
        Error::NoCapacity { reasons, .. } => format!("no other node can take it ({})", reasons.join(", ")),
        other => format!("no other node can take it ({other})"),
    }
}

/// It has failed where it is, for the reason of its last node.
fn stay(tx: &mut Tx<'_>, instance: &Instance, why: &str) -> Result<()> {
    let reason = instance.placement.as_ref().and_then(|placement| placement.tried.last()).map(|last| &last.reason);
    let tries = tries(instance);
    let tried = if tries > 1 { format!(", tried on {tries} nodes") } else { String::new() };
    let sentence = format!("{}{tried}; {why}", reason.map_or("its node could not launch it", String::as_str));
    tx.change_from(instance, |instance| {
        instance.leaving_node_id = None;
        (instance.status, instance.status_deadline) = (InstanceStatus::Failed, None);
        instance.status_reason = Some(sentence);
    })
    .map(drop)
}
