//! Notices nodes that fall silent, those that call again, and those that are stuck for long. Their guests run on: nothing is done to them, unless they are
//! lost and can be fenced.

use crate::{
    fence::{self, FenceNode, Sight, Takeover, Verdict, stuck, waiting},
    heartbeats::Heartbeats,
    presence::{self, Presence},
};
use cirro_models::{
    Context, Error, Id, Result, Timestamp,
    alert::{Alert, Bell},
    compute::{
        Node,
        instance::{NodeLoss, instance_rows},
        node::{NodeMode, NodeStatus, node_rows},
    },
    sql::{AnyConnection, Column, GuidValue},
};
use cirro_server::OwnerContext;
use diesel::prelude::*;
use std::time::Duration;

static MANY: Bell = Bell::new(Alert::NodesSilentMany);

/// A look sees all nodes, so there are no more of them than a silence needs to be noticed in time.
const LOOKS: u32 = 20;
/// The longest time between two.
const LONGEST: Duration = Duration::from_secs(3);
/// How many nodes are written of in one transaction. When a switch or the control plane was away, thousands change together.
const TOGETHER: usize = 500;

/// How often nodes are looked at.
pub(super) fn every(ctx: &Context) -> Result<Duration> {
    Ok((ctx.stores().part::<Takeover>()?.patience.silent / LOOKS).min(LONGEST))
}

pub(super) async fn step(ctx: &Context) -> Result<()> {
    let nodes = ctx.database()?.read(briefs).await?;
    presence::share(ctx).await?;
    let well = nodes.iter().filter(|node| node.status == NodeStatus::Ready).map(|node| node.id).collect();
    ctx.stores().part::<Heartbeats>()?.keep(&well);
    let (presence, takeover) = (ctx.stores().part::<Presence>()?, ctx.stores().part::<Takeover>()?);
    let (ill, all) = fence::count(nodes.iter().map(|node| (&node.status, &node.mode)));
    let many = fence::are_many(ill, all);
    if many {
        MANY.ring(|| {
            format!(
                "{ill} of {all} nodes do not report, or do not finish what they have begun: none of them is fenced and nothing \
                 moves; look at what lies between them and this process, and at what they share"
            )
        });
    }
    let (mut silent, mut back, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for node in nodes {
        let stuck_for = presence.stuck_for(node.id, node.status == NodeStatus::Stuck);
        let Some(silent_for) = presence.silent_for(node.id) else {
            // never heard of since this process began: its time begins now
            presence.begin(node.id);
            continue;
        };
        let in_maintenance = node.mode == NodeMode::Maintenance;
        let called = presence.has_called(node.id);
        let sight = Sight { status: &node.status, in_maintenance, silent_for, called, stuck_for };
        match fence::judge(sight, takeover.patience, many) {
            Verdict::Silent => silent.push(node.id),
            Verdict::Back => back.push(node.id),
            Verdict::Lost if takeover.fence.is_some() || node.has_watchdog => lost.push(node.id),
            Verdict::Lost | Verdict::Leave => {}
        }
    }
    for some in silent.chunks(TOGETHER) {
        mark(ctx, some.to_vec()).await?;
    }
    for some in back.chunks(TOGETHER) {
        welcome(ctx, some.to_vec()).await?;
    }
    for node in lost {
        take_over(ctx, node).await?;
    }
    Ok(())
}

/// What is looked at of each node, every few seconds: of ten thousand, the whole rows would be too much.
struct Brief {
    id: Id<Node>,
    status: NodeStatus,
    mode: NodeMode,
    has_watchdog: bool,
}

fn briefs(c: &mut AnyConnection) -> Result<Vec<Brief>> {
    let rows: Vec<(GuidValue, String, String, Option<i64>)> = node_rows::table
        .select((node_rows::id, node_rows::status, node_rows::mode, node_rows::watchdog_s))
        .load(c)
        .map_err(Error::internal)?;
    let brief = |(id, status, mode, watchdog_s): (GuidValue, String, String, Option<i64>)| {
        let (status, mode) = (NodeStatus::load(status)?, NodeMode::load(mode)?);
        Ok(Brief { id: Id::from_uuid(id.0), status, mode, has_watchdog: watchdog_s.is_some() })
    };
    rows.into_iter().map(brief).collect::<std::result::Result<_, String>>().map_err(Error::internal)
}

async fn mark(ctx: &Context, ids: Vec<Id<Node>>) -> Result<()> {
    let marked = ctx.write(move |tx| {
        let mut marked = Vec::new();
        for id in &ids {
            // whoever has forgotten it meanwhile leaves nothing to be marked
            let well = |node: &Node| matches!(node.status, NodeStatus::Ready | NodeStatus::Stuck);
            let Some(node) = tx.find::<Node>(*id)?.filter(well) else { continue };
            let node = tx.change_from(&node, |node| {
                (node.status, node.status_since) = (NodeStatus::Silent, Some(Timestamp::now()));
                node.stuck = None;
            })?;
            waiting::say(tx, &node)?;
            marked.push(node);
        }
        Ok(marked)
    });
    for node in marked.await? {
        if node.mode == NodeMode::Maintenance {
            tracing::info!(node = %node.name, "the node no longer reports: somebody works on it");
        } else {
            tracing::warn!(node = %node.name, "node.silent: the node no longer reports; its guests run on");
        }
    }
    Ok(())
}

/// Nodes that ask for orders again. They may have nothing to report for some minutes, because all that they have said is known.
async fn welcome(ctx: &Context, ids: Vec<Id<Node>>) -> Result<()> {
    ctx.write(move |tx| {
        for id in &ids {
            let silent = |node: &Node| node.status == NodeStatus::Silent;
            let Some(before) = tx.find::<Node>(*id)?.filter(silent) else { continue };
            let now = tx.change_from(&before, |node| {
                (node.status, node.status_since) = (NodeStatus::Ready, Some(Timestamp::now()));
            })?;
            stuck::tell_instances(tx, &before, &now)?;
        }
        Ok(())
    })
    .await
}

/// Has a node fenced, if anything can be taken over from it.
async fn take_over(ctx: &Context, node: Id<Node>) -> Result<()> {
    let id = node.store();
    let database = ctx.database()?;
    let something = database.read(move |c| {
        let here = instance_rows::node_id.eq(Some(id)).and(instance_rows::on_node_loss.eq(NodeLoss::Recreate.store()));
        // those only wait to hear that nothing of them is there
        let waits = instance_rows::leaving_node_id.eq(Some(id));
        let found = instance_rows::table.filter(instance_rows::deleted_at.is_null()).filter(here.or(waits));
        found.count().get_result::<i64>(c).map_err(Error::internal)
    });
    if something.await? == 0 {
        return Ok(());
    }
    ctx.write(move |tx| {
        let node = tx.get(node)?;
        FenceNode::enqueue(tx, &node)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::{GiB, MiB, Vcpus, Verbs};
    use cirro_server::{Database, Owner, testkit::Backend};
    use std::time::Duration;

    const SILENT: Duration = Duration::from_secs(60);

    async fn status(ctx: &Context, node: Id<Node>) -> NodeStatus {
        Node::get(ctx, node).await.unwrap().status
    }

    #[tokio::test]
    async fn a_node_that_calls_another_process_is_not_silent() {
        let scratch = Backend::Postgres.open(crate::MIGRATIONS).await.unwrap();
        let second = Database::open(&scratch.url, crate::MIGRATIONS).await.unwrap();
        let process = |database: &Database| {
            let running = Owner::mount_together(vec![crate::service(database.clone())]).remove(0);
            let ctx = running.own_context();
            (ctx.stores().part::<Presence>().unwrap(), ctx)
        };
        let ((called, here), (remembered, there)) = (process(&scratch.database), process(&second));
        let (vcpus, memory, disk) = (Vcpus::new(8), MiB::new(1024), GiB::new(10));
        let node = crate::defaults::node(&here, "one".parse().unwrap(), vcpus, memory, disk).await.unwrap();
        let ready = move |tx: &mut cirro_server::Tx<'_>| tx.change::<Node>(node, |row| row.status = NodeStatus::Ready);
        here.write(ready).await.unwrap();
        let too_long = SILENT + Duration::from_secs(1);
        for _ in 0..3 {
            called.heard(node);
            step(&here).await.unwrap();
            remembered.heard(node);
            remembered.backdate(node, too_long);
            step(&there).await.unwrap();
            assert_eq!(status(&there, node).await, NodeStatus::Ready, "it called the other process meanwhile");
        }
        remembered.backdate(node, too_long);
        step(&there).await.unwrap();
        assert_eq!(status(&there, node).await, NodeStatus::Silent, "it has called nobody");
    }

    #[tokio::test]
    async fn a_node_that_has_not_called_for_long_is_silent_and_nothing_else_happens_to_it() {
        for backend in Backend::BOTH {
            let scratch = backend.open(crate::MIGRATIONS).await.unwrap();
            let running = Owner::mount_together(vec![crate::service(scratch.database.clone())]).remove(0);
            let ctx = running.own_context();
            let (vcpus, memory, disk) = (Vcpus::new(8), MiB::new(1024), GiB::new(10));
            let node = crate::defaults::node(&ctx, "one".parse().unwrap(), vcpus, memory, disk).await.unwrap();
            let presence = ctx.stores().part::<Presence>().unwrap();

            step(&ctx).await.unwrap();
            assert_eq!(status(&ctx, node).await, NodeStatus::Joining, "it has not begun");
            let write =
                move |tx: &mut cirro_server::Tx<'_>| tx.change::<Node>(node, |row| row.status = NodeStatus::Ready);
            ctx.write(write).await.unwrap();
            step(&ctx).await.unwrap();
            assert_eq!(status(&ctx, node).await, NodeStatus::Ready, "after a restart its time begins anew");
            presence.backdate(node, SILENT.saturating_sub(Duration::from_secs(20)));
            step(&ctx).await.unwrap();
            assert_eq!(status(&ctx, node).await, NodeStatus::Ready);
            presence.backdate(node, Duration::from_secs(21));
            step(&ctx).await.unwrap();
            let row = Node::get(&ctx, node).await.unwrap();
            assert_eq!((row.status, row.vcpus, row.mode), (NodeStatus::Silent, vcpus, NodeMode::Active));
            assert!(row.status_since.is_some());
            presence.heard(node);
            step(&ctx).await.unwrap();
            assert_eq!(status(&ctx, node).await, NodeStatus::Ready, "it asks for orders again");
        }
    }

    #[tokio::test]
    async fn nodes_that_fall_silent_or_come_back_together_are_written_of_in_one_transaction() {
        let scratch = Backend::Postgres.open(crate::MIGRATIONS).await.unwrap();
        let running = Owner::mount_together(vec![crate::service(scratch.database.clone())]).remove(0);
        let ctx = running.own_context();
        let (vcpus, memory, disk) = (Vcpus::new(8), MiB::new(1024), GiB::new(10));
        let presence = ctx.stores().part::<Presence>().unwrap();
        let mut nodes = Vec::new();
        for name in ["one", "two", "three"] {
            let node = crate::defaults::node(&ctx, name.parse().unwrap(), vcpus, memory, disk).await.unwrap();
            let ready =
                move |tx: &mut cirro_server::Tx<'_>| tx.change::<Node>(node, |row| row.status = NodeStatus::Ready);
            ctx.write(ready).await.unwrap();
            presence.begin(node);
            nodes.push(node);
        }
        let feed = ctx.database().unwrap().feed().clone();
        for becomes in [NodeStatus::Silent, NodeStatus::Ready] {
            let reader = feed.clone();
            let begin = ctx.database().unwrap().read(move |c| reader.end(c)).await.unwrap();
            for node in &nodes {
                if becomes == NodeStatus::Silent {
                    presence.backdate(*node, SILENT + Duration::from_secs(1));
                } else {
                    presence.heard(*node);
                }
            }
            step(&ctx).await.unwrap();
            let reader = feed.clone();
            let changes = ctx.database().unwrap().read(move |c| reader.after(c, begin, 100)).await.unwrap();
            let mut transactions: Vec<_> = changes.iter().map(|change| change.position.transaction).collect();
            transactions.dedup();
            assert_eq!((changes.len(), transactions.len()), (3, 1), "{becomes}");
            for node in &nodes {
                assert_eq!(status(&ctx, *node).await, becomes);
            }
        }
    }
}
