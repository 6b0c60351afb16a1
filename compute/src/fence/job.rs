//! The fence of one node, as a job of the work queue, and what is taken over once it is confirmed.

use super::{Takeover, loss::are_many, turn_off, watchdog};
use crate::{
    claims,
    launch::{PLACEMENT, elsewhere, volumes},
    presence::Presence,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Error, Id, Result, Timestamp,
    compute::{
        Instance, Node,
        instance::{InstanceFilter, NodeLoss, Power},
        node::{NodeFilter, NodeMode, NodeStatus},
    },
};
use cirro_server::{Job, OwnerContext, Tx, queue::Taken};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// The pause between looks at a machine's power.
const PAUSE: Duration = Duration::from_secs(1);
/// How many instances are asked about at once.
const BATCH: usize = 100;
/// More than one node ever holds.
const MANY: i64 = 100_000;

/// Fences a node that is lost, and takes over what may be. It can be stopped anywhere and begun again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FenceNode {
    node_id: Id<Node>,
}

impl FenceNode {
    /// Has a silent or stuck node fenced, once for each time that it becomes that, whichever processes notice it.
    pub(crate) fn enqueue(tx: &mut Tx<'_>, node: &Node) -> Result<()> {
        let since = node.status_since.map_or(0, Timestamp::micros);
        let id = Uuid::new_v5(&node.id.uuid(), &since.to_be_bytes());
        tx.enqueue_as(id, &Self { node_id: node.id }).map(drop)
    }
}

#[async_trait]
impl Job for FenceNode {
    const KIND: &'static str = "fence-node";

    async fn run(self, ctx: &Context, taken: &Taken) -> Result<()> {
        let takeover = ctx.stores().part::<Takeover>()?;
        let id = self.node_id;
        // a process that has just begun can't tell: for it the silence begins now
        let silent_for = ctx.stores().part::<Presence>()?.silent_for(id);
        let silent = silent_for.is_some_and(|silent| silent > takeover.patience.silent);
        let node = match ctx.write(move |tx| begin(tx, id, silent)).await? {
            Begun::Fencing(node) => node,
            Begun::Well => return Ok(()),
            Begun::TooEarly => {
                let what = "the node has called not long ago: it is fenced if it stays silent for longer";
                return Err(Error::unavailable(what));
            }
        };
        tracing::warn!(node = %node.name, "node.fencing: the node is lost; it is seen to that nothing runs there");
        let stopped = match stop(&takeover, &node).await {
            Ok(()) => confirm(ctx, &node, taken).await,
            failed => failed,
        };
        if stopped.is_err() {
            ctx.write(move |tx| give_up(tx, id)).await?;
        }
        stopped
    }
}

/// Whether a fence has begun.
enum Begun {
    /// From here on the node gets no orders.
    Fencing(Box<Node>),
    /// There is nothing to be fenced any more.
    Well,
    /// It is not known to be lost yet.
    TooEarly,
}

fn begin(tx: &mut Tx<'_>, id: Id<Node>, silent: bool) -> Result<Begun> {
    let Some(node) = tx.find::<Node>(id)?.filter(may_be_lost) else { return Ok(Begun::Well) };
    // a stuck node calls all the time
    if !silent && node.stuck.is_none() {
        // whoever marked it may have died since, and it must not stay without orders
        give_up(tx, id)?;
        return Ok(Begun::TooEarly);
    }
    refuse_many(tx)?;
    tx.change_from(&node, |node| node.status = NodeStatus::Fencing).map(Box::new).map(Begun::Fencing)
}

fn may_be_lost(node: &Node) -> bool {
    // fencing: whoever began it has died
    let lost = matches!(node.status, NodeStatus::Silent | NodeStatus::Stuck | NodeStatus::Fencing);
    lost && node.mode != NodeMode::Maintenance
}

/// Nothing is fenced or moved while so many are silent or stuck.
fn refuse_many(tx: &mut Tx<'_>) -> Result<()> {
    let nodes: Vec<Node> = tx.list(&NodeFilter::default(), MANY)?;
    let (ill, all) = count(nodes.iter().map(|node| (&node.status, &node.mode)));
    if are_many(ill, all) {
        let what = format!("{ill} of {all} nodes are silent or stuck: nothing is fenced until it is clear why");
        return Err(Error::unavailable(what));
    }
    Ok(())
}

/// How many nodes are silent or stuck, of how many that should be well, by their status and mode.
pub(crate) fn count<'a>(nodes: impl Iterator<Item = (&'a NodeStatus, &'a NodeMode)> + Clone) -> (usize, usize) {
    use NodeStatus::{Fencing, Ready, Silent, Stuck};
    let minded = nodes.filter(|(_, mode)| **mode != NodeMode::Maintenance).map(|(status, _)| status);
    let ill = minded.clone().filter(|status| matches!(status, Silent | Stuck | Fencing)).count();
    (ill, ill + minded.filter(|status| **status == Ready).count())
}

fn give_up(tx: &mut Tx<'_>, id: Id<Node>) -> Result<()> {
    let Some(node) = tx.find::<Node>(id)?.filter(|node| node.status == NodeStatus::Fencing) else { return Ok(()) };
    let before = if node.stuck.is_some() { NodeStatus::Stuck } else { NodeStatus::Silent };
    tx.change_from(&node, |node| node.status = before).map(drop)
}

/// Returns when nothing runs on the node any more: its machine was seen to be off, or its watchdog was waited for.
async fn stop(takeover: &Takeover, node: &Node) -> Result<()> {
    let switched_off = match &takeover.fence {
        Some(fence) => turn_off(fence.as_ref(), node, PAUSE).await,
        None => Err(Error::unavailable(
            "this process has no fence command, and another one wanted it: start each of compute's with the same",
        )),
    };
    let (Err(error), Some(within)) = (&switched_off, watchdog::stops_within(node)) else { return switched_off };
    if takeover.fence.is_some() {
        tracing::info!(node = %node.name, %error, "the machine can't be switched off: its watchdog is waited for");
    }
    tokio::time::sleep(within).await;
    Ok(())
}

/// Takes over what ran on a node where nothing runs any more.
async fn confirm(ctx: &Context, node: &Node, taken: &Taken) -> Result<()> {
    let used = with_volumes(ctx, node.id).await?;
    let (epoch, id, taken) = (ctx.database()?.feed().epoch(), node.id, taken.clone());
    let moved = ctx.write(move |tx| {
        tx.exclusive(PLACEMENT)?;
        // whoever has lost the job meanwhile may not act on what it saw
        taken.finish(tx)?;
        let Some(node) = tx.find::<Node>(id)?.filter(|node| node.status == NodeStatus::Fencing) else {
            return Err(Error::conflict("the node was given up as lost at the same moment"));
        };
        let fenced = |node: &mut Node| {
            (node.status, node.status_since) = (NodeStatus::Fenced, Some(Timestamp::now()));
            node.stuck = None;
        };
        tx.change_from(&node, fenced)?;
        take_over(tx, &node, epoch, &used)
    });
    let moved = moved.await?;
    tracing::warn!(node = %node.name, moved, "node.fenced: nothing runs there; what is to be recreated goes elsewhere");
    Ok(())
}

/// Those of the node's instances that have volumes, which never move.
pub(crate) async fn with_volumes(ctx: &Context, node: Id<Node>) -> Result<Vec<Id<Instance>>> {
    let of_node = InstanceFilter { node_id: Some(node), ..InstanceFilter::default() };
    let rows: Vec<Instance> = ctx.write(move |tx| tx.list(&of_node, MANY)).await?;
    let ids: Vec<_> = rows.iter().filter(|row| may_move(row)).map(|row| row.id).collect();
    let mut used = Vec::new();
    for some in ids.chunks(BATCH) {
        used.extend(volumes::used_by(ctx, some).await?);
    }
    Ok(used)
}

pub(super) fn may_move(instance: &Instance) -> bool {
    // one that was to leave anyway has never come up there: nothing is lost
    let wanted = instance.on_node_loss == NodeLoss::Recreate || instance.leaving_node_id.is_some();
    wanted && instance.meta.deleted_at.is_none()
}

/// What is to be recreated has left the node, as if it had confirmed; its order to remove it stays, for when it comes back. The
/// others wait, and say so. Answers how many move.
fn take_over(tx: &mut Tx<'_>, node: &Node, epoch: i64, used: &[Id<Instance>]) -> Result<usize> {
    let mut moved = 0;
    let of_node = InstanceFilter { node_id: Some(node.id), ..InstanceFilter::default() };
    for instance in tx.list::<Instance>(&of_node, MANY)?.iter().filter(|row| row.meta.deleted_at.is_none()) {
        if may_move(instance) && !used.contains(&instance.id) {
            elsewhere::lose(tx, instance, node, epoch)?;
            moved += 1;
        } else if instance.power == Power::Running {
            let why = if may_move(instance) { "a volume is attached to it there" } else { "its on_node_loss is stay" };
            elsewhere::wait_for(tx, instance, node, why)?;
        }
    }
    // those that were leaving already need no more word from it
    for instance in elsewhere::leaving(tx, node.id)?.iter().filter(|row| row.meta.deleted_at.is_none()) {
        claims::remove(tx.connection(), instance.id)?;
        moved += 1;
    }
    Ok(moved)
}
