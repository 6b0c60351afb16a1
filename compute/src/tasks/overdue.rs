//! Ends states of instances whose time is over.

use crate::{launch::elsewhere, states};
use cirro_models::{
    Context, Error, Id, Result, Timestamp,
    compute::{
        Instance,
        instance::{InstanceStatus, instance_rows},
    },
    sql::{Column, GuidValue},
};
use cirro_server::OwnerContext;
use diesel::prelude::*;

/// How many at once.
const BATCH: i64 = 100;

pub(super) async fn step(ctx: &Context) -> Result<()> {
    let now = Timestamp::now();
    let overdue: Vec<GuidValue> = ctx
        .database()?
        .read(move |c| {
            instance_rows::table
                .filter(instance_rows::status_deadline.lt(now.store()))
                .select(instance_rows::id)
                .limit(BATCH)
                .load(c)
                .map_err(Error::internal)
        })
        .await?;
    if overdue.is_empty() {
        return Ok(());
    }
    ctx.write(move |tx| {
        for id in &overdue {
            let Some(stored) = tx.find::<Instance>(Id::from_uuid(id.0))? else { continue };
            if stored.status_deadline.is_none_or(|deadline| deadline >= now) {
                continue;
            }
            let (next, mut reason) = states::overdue(&stored.status);
            if let Some(waits) = stored.status_reason.as_ref().filter(|_| elsewhere::waits(&stored)) {
                reason = format!("{waits}; that has taken too long: look at the node, or delete the instance");
            }
            if next == InstanceStatus::Failed
                && let Some(node) = stored.node_id
                && stored.leaving_node_id.is_none()
            {
                let mut moved = stored.clone();
                if elsewhere::is_to_go(&mut moved, node, &reason) {
                    tx.change_from(&stored, |instance| *instance = moved)?;
                    continue;
                }
            }
            tracing::info!(instance = %stored.id, from = %stored.status, to = %next, "the time of a state is over");
            tx.change_from(&stored, |instance| {
                instance.status_deadline = states::deadline(&next);
                instance.status = next;
                instance.status_reason = Some(reason);
            })?;
        }
        Ok(())
    })
    .await
}
