//! Nodes: one that holds guests stays, unless it is gone for ever.

use crate::{claims, fence, holdings, launch::PLACEMENT};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, Result,
    compute::{
        Node,
        node::{NewNode, NodeMode, NodePatch, NodeStatus},
    },
};
use cirro_server::{Controller, OwnerContext};

pub(crate) struct Nodes;

#[async_trait]
impl Controller<Node> for Nodes {
    async fn create(&self, ctx: &Context, draft: Node, _: NewNode) -> Result<Created<Node>> {
        if draft.mode == NodeMode::Gone {
            return Err(Error::invalid(
                "mode",
                "a node that is made just now is not gone: use active, drain or maintenance",
            ));
        }
        ctx.write(move |tx| tx.insert(&draft).map(|()| draft.clone())).await.map(Into::into)
    }

    async fn update(
        &self,
        ctx: &Context,
        current: Node,
        patch: NodePatch,
        version: Option<Generation>,
    ) -> Result<Node> {
        let id = current.id;
        if patch.mode != Some(NodeMode::Gone) {
            if patch.destroyed.is_some() {
                return Err(Error::invalid(
                    "destroyed",
                    "only a node that is gone is destroyed: set the mode to gone too",
                ));
            }
            return ctx.write(move |tx| tx.patch(id, patch.clone(), version)).await;
        }
        let used = fence::with_volumes(ctx, id).await?;
        let epoch = ctx.database()?.feed().epoch();
        ctx.write(move |tx| {
            // nothing may come there meanwhile
            tx.exclusive(PLACEMENT)?;
            let node: Node = tx.get(id)?;
            require_gone(&node, patch.destroyed.as_ref() == Some(&node.name))?;
            let node = tx.patch(id, patch.clone(), version)?;
            fence::forget(tx, &node, epoch, &used)?;
            holdings::forget(tx.connection(), node.id)?;
            tx.remove(&node)?;
            Ok(node)
        })
        .await
    }

    async fn delete(&self, ctx: &Context, current: Node) -> Result<Deleted<Node>> {
        ctx.write(move |tx| {
            let claims = claims::count_on(tx.connection(), current.id)?;
            if claims > 0 {
                return Err(Error::conflict(format!(
                    "node {} still holds {claims} instances: delete them first",
                    current.name
                )));
            }
            holdings::forget(tx.connection(), current.id)?;
            tx.remove(&current)
        })
        .await?;
        Ok(Deleted::Gone)
    }
}

/// Refuses to forget a node whose guests may still run.
fn require_gone(node: &Node, destroyed: bool) -> Result<()> {
    match node.status {
        NodeStatus::Fenced => Ok(()),
        NodeStatus::Ready | NodeStatus::Stuck => Err(Error::conflict(format!(
            "node {} reports, so it is not gone: drain it, delete what is on it, and delete it",
            node.name
        ))),
        _ if destroyed => Ok(()),
        _ => Err(Error::conflict(format!(
            "nobody has seen that the machine of node {} is off, and its guests may run: switch it off for good, and say so by \
             naming it (`cirro node forget {} --destroyed {}`)",
            node.name, node.name, node.name
        ))),
    }
}
