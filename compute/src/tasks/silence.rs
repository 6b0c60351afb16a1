//! Notices nodes that fall silent. Their guests run on: nothing is done to them.

use crate::presence::{self, Presence};
use cirro_models::{
    Context, Error, Reach, Result, Timestamp,
    compute::{
        Node,
        node::{NodeFilter, NodeStatus},
    },
    sql::Table,
};
use cirro_server::OwnerContext;
use std::time::Duration;

/// A node that has not called for this long is silent; its poll waits at most half of it.
const SILENT: Duration = Duration::from_secs(60);

pub(super) async fn step(ctx: &Context) -> Result<()> {
    let ready = NodeFilter { status: Some(NodeStatus::Ready), ..NodeFilter::default() };
    let nodes = ctx
        .database()?
        .read(move |c| Node::page(c, &ready, &Reach::All, None, 100_000).map_err(Error::internal))
        .await?;
    presence::share(ctx).await?;
    let presence = ctx.stores().part::<Presence>()?;
    for node in nodes {
        match presence.silent_for(node.id) {
            // never heard of since this process began: its time begins now
            None => presence.begin(node.id),
            Some(silent) if silent > SILENT => {
                tracing::warn!(node = %node.name, "node.silent: the node no longer reports; its guests run on");
                ctx.write(move |tx| {
                    tx.change::<Node>(node.id, |node| {
                        (node.status, node.status_since) = (NodeStatus::Silent, Some(Timestamp::now()));
                    })
                })
                .await?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::{GiB, Id, MiB, Vcpus, Verbs, compute::node::NodeMode};
    use cirro_server::{Database, Owner, testkit::Backend};

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
        }
    }
}
