//! Ends states of instances whose time is over.

use crate::states;
use cirro_models::{
    Context, Error, Id, Result, Timestamp,
    compute::{Instance, instance::instance_rows},
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
            let (next, reason) = states::overdue(&stored.status);
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
