//! Nodes: one that holds guests stays.

use crate::{claims, holdings};
use async_trait::async_trait;
use cirro_models::{Context, Deleted, Error, Result, compute::Node};
use cirro_server::{Controller, OwnerContext};

pub(crate) struct Nodes;

#[async_trait]
impl Controller<Node> for Nodes {
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
