//! Notices nodes that fall silent. Their guests run on: nothing is done to them.

use crate::routes::presence::Presence;
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
    let presence = ctx.stores().part::<Presence>()?;
    for node in nodes {
        match presence.silent_for(node.id) {
            // never heard of since this process began: its time begins now
            None => presence.heard(node.id),
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
