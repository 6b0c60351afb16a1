//! Launch plans: looked at, held, launched and undone.

use crate::launch::{self, Expansion, PLACEMENT, Rates, Referenced, UndoPlan, references, take};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, Result, Timestamp,
    compute::{
        LaunchPlan,
        instance::{UserData, instance_rows},
        launch_plan::{LaunchPlanPatch, NewLaunchPlan, PlanIntent, PlanStatus},
    },
    sql::Column,
};
use cirro_server::{Controller, OwnerContext, Tx};
use diesel::prelude::*;

pub(crate) struct LaunchPlans;

#[async_trait]
impl Controller<LaunchPlan> for LaunchPlans {
    async fn create(&self, ctx: &Context, draft: LaunchPlan, new: NewLaunchPlan) -> Result<Created<LaunchPlan>> {
        draft.check()?;
        if draft.intent == PlanIntent::Undo {
            return Err(Error::invalid(
                "intent",
                "a plan that is made just now has nothing to undo: use preview, hold or launch",
            ));
        }
        if let Some(end) = draft.expires_at.filter(|end| *end <= Timestamp::now()) {
            return Err(Error::invalid("expires_at", format!("{end} is over: give a moment to come")));
        }
        let referenced = referenced(ctx, &draft, new.user_data.clone()).await?;
        let expansion = ctx.stores().part::<Expansion>()?;
        let batch = expansion.batch();
        let write = move |tx: &mut Tx<'_>| {
            let mut plan = draft.clone();
            take(tx, &mut plan, &referenced, batch)?;
            tx.insert(&plan)?;
            launch::keep_user_data(tx, &plan, new.user_data.as_ref())?;
            Ok(plan)
        };
        let made = ctx.write(write).await?;
        expansion.wake();
        Ok(made.into())
    }

    async fn update(
        &self,
        ctx: &Context,
        current: LaunchPlan,
        patch: LaunchPlanPatch,
        version: Option<Generation>,
    ) -> Result<LaunchPlan> {
        let id = current.id;
        // what it names may have changed since it was made, and whoever launches it must be allowed to use it
        let takes = !matches!(patch.intent, None | Some(PlanIntent::Undo)) && !is_launched(&current);
        let referenced = if takes { Some(referenced(ctx, &current, None).await?) } else { None };
        let expansion = ctx.stores().part::<Expansion>()?;
        let batch = expansion.batch();
        let write = move |tx: &mut Tx<'_>| {
            let named = patch.intent.is_some();
            if named {
                // instances of it may be made at this moment
                tx.exclusive(PLACEMENT)?;
            }
            let before: LaunchPlan = tx.get(id)?;
            let mut wished = before.clone();
            if named {
                wished.intent = patch.intent.clone().unwrap_or(PlanIntent::Preview);
                follow(tx, &mut wished, referenced.as_ref(), batch)?;
            }
            tx.patch_then(id, patch.clone(), version, |plan, _| {
                if named {
                    plan.status = wished.status;
                    plan.status_reason = wished.status_reason;
                    plan.held_until = wished.held_until;
                    plan.outlook = wished.outlook;
                }
                Ok(())
            })
        };
        let updated = ctx.write(write).await?;
        ctx.stores().part::<Rates>()?.forget(id);
        expansion.wake();
        Ok(updated)
    }

    /// A plan without instances goes; one that has some is the way to find and undo them.
    async fn delete(&self, ctx: &Context, current: LaunchPlan) -> Result<Deleted<LaunchPlan>> {
        let id = current.id;
        ctx.write(move |tx| {
            tx.exclusive(PLACEMENT)?;
            let plan: LaunchPlan = tx.get(id)?;
            let left: i64 = instance_rows::table
                .filter(instance_rows::plan_id.eq(Some(id.store())))
                .count()
                .get_result(tx.connection())
                .map_err(Error::internal)?;
            if left > 0 {
                return Err(Error::conflict(format!(
                    "plan {} still has {left} instances: undo it first (`cirro undo {}`)",
                    plan.name, plan.name
                )));
            }
            launch::give_back(tx, &plan)?;
            launch::forget_user_data(tx, id)?;
            tx.remove(&plan)
        })
        .await?;
        Ok(Deleted::Gone)
    }
}

async fn referenced(ctx: &Context, plan: &LaunchPlan, user_data: Option<UserData>) -> Result<Referenced> {
    let templates = plan.groups.iter().map(|group| group.template.clone()).collect();
    references::fetch(ctx, plan.project_id, templates, user_data).await
}

/// Whether it has made instances, or tried to.
fn is_launched(plan: &LaunchPlan) -> bool {
    use PlanStatus::{Halted, Launched, Launching, Undoing, Undone};
    matches!(plan.status, Launching | Launched | Halted | Undoing | Undone)
}

/// Does what follows from a wish about a plan that exists.
fn follow(tx: &mut Tx<'_>, plan: &mut LaunchPlan, referenced: Option<&Referenced>, batch: usize) -> Result<()> {
    match (&plan.intent, &plan.status) {
        (PlanIntent::Undo, PlanStatus::Previewed | PlanStatus::Held | PlanStatus::Expired) => {
            launch::give_back(tx, plan)?;
            (plan.status, plan.status_reason, plan.held_until) = (PlanStatus::Undone, None, None);
            launch::forget_user_data(tx, plan.id)
        }
        // what kept it from going on was looked into: it goes on with those that wait
        (PlanIntent::Launch, PlanStatus::Halted | PlanStatus::Launching) => {
            (plan.status, plan.status_reason) = (PlanStatus::Launching, None);
            Ok(())
        }
        (PlanIntent::Launch, PlanStatus::Launched) | (PlanIntent::Undo, PlanStatus::Undone | PlanStatus::Undoing) => {
            Ok(())
        }
        (PlanIntent::Undo, _) => {
            launch::give_back(tx, plan)?;
            UndoPlan::enqueue(tx, plan.id)?;
            (plan.status, plan.status_reason) = (PlanStatus::Undoing, None);
            Ok(())
        }
        (wish, _) if is_launched(plan) => {
            let what =
                format!("plan {} is {}, and can't be brought to {wish} again: make a new one", plan.name, plan.status);
            Err(Error::conflict(what))
        }
        (PlanIntent::Hold, PlanStatus::Held) => {
            plan.held_until = Some(launch::hold_ends());
            Ok(())
        }
        (PlanIntent::Preview, PlanStatus::Held) => {
            launch::give_back(tx, plan)?;
            (plan.status, plan.held_until) = (PlanStatus::Previewed, None);
            Ok(())
        }
        _ => {
            let mut referenced = referenced.cloned().ok_or_else(|| {
                Error::conflict(format!("plan {} was changed at the same moment: try again", plan.name))
            })?;
            launch::add_user_data(tx, plan.id, &mut referenced)?;
            take(tx, plan, &referenced, batch)?;
            // its instances have it from here on
            if is_launched(plan) { launch::forget_user_data(tx, plan.id) } else { Ok(()) }
        }
    }
}
