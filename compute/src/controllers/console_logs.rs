//! Console texts: asked for by creating one, fetched by the instance's node.

use async_trait::async_trait;
use cirro_models::{
    Context, Created, Error, Result,
    compute::{
        ConsoleLog, Instance,
        console_log::{ConsoleLogFilter, NewConsoleLog},
    },
};
use cirro_server::{Controller, OwnerContext};

/// How many console texts of one instance are kept.
const KEPT: usize = 5;

pub(crate) struct ConsoleLogs;

#[async_trait]
impl Controller<ConsoleLog> for ConsoleLogs {
    async fn create(&self, ctx: &Context, mut draft: ConsoleLog, _: NewConsoleLog) -> Result<Created<ConsoleLog>> {
        let write = move |tx: &mut cirro_server::Tx<'_>| {
            let instance: Instance = tx.get(draft.instance_id)?;
            if instance.project_id != draft.project_id {
                return Err(Error::not_found("instance", draft.instance_id));
            }
            instance.require_live()?;
            let own = ConsoleLogFilter { instance_id: Some(instance.id), ..ConsoleLogFilter::default() };
            let earlier: Vec<ConsoleLog> = tx.list(&own, 1000)?;
            for old in earlier.iter().take((earlier.len() + 1).saturating_sub(KEPT)) {
                tx.remove(old)?;
            }
            draft.node_id = instance.node_id;
            tx.insert(&draft).map(|()| draft.clone())
        };
        ctx.write(write).await.map(Into::into)
    }
}
