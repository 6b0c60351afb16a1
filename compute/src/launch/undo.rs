//! Taking a launch back: exactly what the plan made goes, but for instances that somebody has changed since.

use crate::{
    controllers::begin_removal,
    launch::{PLACEMENT, volumes},
};
use async_trait::async_trait;
use cirro_models::{
    Context, Error, Id, Result,
    compute::{Instance, LaunchPlan, instance::instance_rows},
    sql::{Column, GuidValue},
};
use cirro_server::{Job, OwnerContext, Tx, queue::Taken};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many instances go in one transaction.
const BATCH: i64 = 100;

/// Removes what a plan made. It can be stopped anywhere and begun again: what is gone or going is passed over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UndoPlan {
    plan_id: Id<LaunchPlan>,
}

impl UndoPlan {
    /// Has the plan undone, once this is committed.
    pub(crate) fn enqueue(tx: &mut Tx<'_>, plan_id: Id<LaunchPlan>) -> Result<()> {
        tx.enqueue(&Self { plan_id }).map(drop)
    }
}

#[async_trait]
impl Job for UndoPlan {
    const KIND: &'static str = "undo-plan";

    async fn run(self, ctx: &Context, _: &Taken) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let batch = untouched(ctx, self.plan_id, after).await?;
            let Some(last) = batch.last() else { return Ok(()) };
            after = last.uuid();
            // somebody works with those
            let used = volumes::used_by(ctx, &batch).await?;
            let epoch = ctx.database()?.feed().epoch();
            ctx.write(move |tx| {
                tx.exclusive(PLACEMENT)?;
                for id in &batch {
                    let Some(instance) = tx.find::<Instance>(*id)?.filter(|found| found.meta.deleted_at.is_none())
                    else {
                        continue;
                    };
                    if used.contains(id) || instance.protected {
                        tx.change_from(&instance, |instance| instance.touched = Some(true))?;
                    } else if instance.touched.is_none() {
                        begin_removal(tx, &instance, epoch)?;
                    }
                }
                Ok(())
            })
            .await?;
        }
    }
}

/// The next instances of a plan that nobody has changed.
async fn untouched(ctx: &Context, plan: Id<LaunchPlan>, after: Uuid) -> Result<Vec<Id<Instance>>> {
    let found: Vec<GuidValue> = ctx
        .database()?
        .read(move |c| {
            instance_rows::table
                .filter(instance_rows::plan_id.eq(Some(plan.store())))
                .filter(instance_rows::id.gt(GuidValue(after)))
                .filter(instance_rows::touched.is_null())
                .filter(instance_rows::deleted_at.is_null())
                .order(instance_rows::id)
                .select(instance_rows::id)
                .limit(BATCH)
                .load(c)
                .map_err(Error::internal)
        })
        .await?;
    Ok(found.into_iter().map(|id| Id::from_uuid(id.0)).collect())
}
