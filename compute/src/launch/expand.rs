//! How a large plan comes to be: when it was accepted it took everything and made its first instances; the rest is made here, a batch
//! in each transaction, from the claims that the plan still holds. The ids follow from the plan's, and a claim passes from the plan
//! to its instance with the instance's row: so whoever dies in between, or does the same at the same moment, makes nothing twice and
//! leaves nothing out.

use super::{
    begin::Changed,
    names, progress,
    rest::{self, Rest},
    rows::{self, Placed},
};
use crate::{
    claims::{self, Order},
    launch::PLACEMENT,
};
use cirro_models::{
    Context, Error, Id, Result,
    compute::{LaunchPlan, launch_plan::PlanStatus},
};
use cirro_server::{OwnerContext, Tx};
use std::time::Duration;
use tokio::sync::Notify;

/// How many instances are made in one transaction: it lasts some hundredths of a second, in which nothing else is written to a SQLite
/// database.
const BATCH: usize = 1000;
/// How many plans go on in one round.
const PLANS: i64 = 100;

/// How this process makes the instances of large plans, and how its tasks hear that a plan moves.
#[derive(Debug)]
pub struct Expansion {
    batch: usize,
    wake: Notify,
    tend: Notify,
}

impl Default for Expansion {
    fn default() -> Self {
        Self::by(BATCH)
    }
}

impl Expansion {
    /// So many instances in one transaction, and one at least.
    pub fn by(batch: usize) -> Self {
        Self { batch: batch.max(1), wake: Notify::new(), tend: Notify::new() }
    }
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }
    /// A plan moves: something may have to be made of it, and its progress is of interest.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
        self.tend.notify_one();
    }
    /// Waits until that is said, or for this long: another process may have accepted a plan. It is for who makes instances.
    pub(crate) async fn woken(&self, longest: Duration) {
        // that nobody has said so is no error
        let _ = tokio::time::timeout(longest, self.wake.notified()).await;
    }
    /// The same for who looks after plans.
    pub(crate) async fn woken_to_tend(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.tend.notified()).await;
    }
}

/// Makes the next instances of every plan that goes on; says whether any were made. Whoever is late or twice does no harm.
pub(crate) async fn expand(ctx: &Context) -> Result<bool> {
    let plans = ctx.database()?.read(|c| rest::going_on(c, PLANS)).await?;
    let batch = ctx.stores().part::<Expansion>()?.batch();
    let mut any = false;
    for plan in plans {
        match go_on(ctx, plan, batch).await {
            Ok(made) => any |= made,
            // the others go on
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                %plan,
                "the next instances of a launch plan can't be made; it is tried again"
            ),
        }
    }
    Ok(any)
}

async fn go_on(ctx: &Context, plan: Id<LaunchPlan>, batch: usize) -> Result<bool> {
    match ctx.write(move |tx| step(tx, plan, batch)).await {
        Err(Error::Conflict { detail }) => {
            let stopped = ctx.write(move |tx| stop_at_names(tx, plan, batch)).await?;
            if stopped { Ok(false) } else { Err(Error::conflict(detail)) }
        }
        done => done,
    }
}

/// A plan that makes more instances, unless it can't.
fn going_on(tx: &mut Tx<'_>, plan: Id<LaunchPlan>) -> Result<Option<LaunchPlan>> {
    tx.exclusive(PLACEMENT)?;
    let goes_on = |plan: &LaunchPlan| plan.status == PlanStatus::Launching && plan.status_reason.is_none();
    Ok(tx.find(plan)?.filter(goes_on))
}

/// Makes the next instances of a plan; says whether there were any.
fn step(tx: &mut Tx<'_>, plan: Id<LaunchPlan>, batch: usize) -> Result<bool> {
    let Some(plan) = going_on(tx, plan)? else { return Ok(false) };
    if let Some(most) = progress::halts_at(&plan)
        && progress::failed(tx.connection(), plan.id, most)? >= most
    {
        return Ok(false);
    }
    // one more than is made shows whether this is the end
    let mut placed = next(tx, &plan, batch + 1)?;
    let ends = placed.len() <= batch;
    placed.truncate(batch);
    if placed.is_empty() {
        return rest::forget(tx.connection(), plan.id).map(|()| false);
    }
    let Some(rest) = Rest::kept(tx.connection(), &plan)? else {
        let why = "what its other instances are launched with is lost: undo the plan, and launch them by a new one";
        return stop(tx, &plan, why.to_owned()).map(|()| false);
    };
    let changed = Changed::look(tx, placed.iter().map(|place| place.node))?;
    let room = room(tx, &plan)?;
    let ids: Vec<_> = placed.iter().map(|place| place.id).collect();
    claims::hand_over(tx.connection(), &ids)?;
    rows::add(tx, &plan, &rest, &placed, &changed, room)?;
    if ends {
        rest::forget(tx.connection(), plan.id)?;
    }
    Ok(true)
}

/// How many more may begin: none while others wait for their turn, which are counted as if they were on their way.
fn room(tx: &mut Tx<'_>, plan: &LaunchPlan) -> Result<usize> {
    let Some(most) = plan.max_in_flight else { return Ok(usize::MAX) };
    let left = most.get() - progress::on_their_way(tx.connection(), plan.id, most.get())?;
    Ok(usize::try_from(left).unwrap_or(0))
}

/// The next instances that a plan holds claims for: node by node, as each node hears of its orders anew with every batch that
/// has one for it; but where only some may be on their way at once, these must not all be on one node.
fn next(tx: &mut Tx<'_>, plan: &LaunchPlan, most: usize) -> Result<Vec<Placed>> {
    let order = if plan.max_in_flight.is_some() { Order::Instances } else { Order::Nodes };
    let held = claims::held(tx.connection(), plan.id, order, i64::try_from(most).unwrap_or(i64::MAX))?;
    let placed = held.into_iter().map(|claim| {
        let id = claim.instance;
        Placed::held(plan, claim)
            .ok_or_else(|| Error::internal(format!("the claim of {id} does not say what it is for")))
    });
    placed.collect()
}

/// A plan that meets a name which somebody else has does not go on; says whether it is that.
fn stop_at_names(tx: &mut Tx<'_>, plan: Id<LaunchPlan>, batch: usize) -> Result<bool> {
    let Some(plan) = going_on(tx, plan)? else { return Ok(false) };
    let names = next(tx, &plan, batch)?;
    let names: Vec<String> = names
        .iter()
        .filter_map(|place| plan.groups[place.group].instance_name(place.number).ok())
        .map(|name| name.to_string())
        .collect();
    let Some(told) = names::taken(tx, plan.project_id, &names)? else { return Ok(false) };
    stop(tx, &plan, format!("{told}: rename or delete it, then launch the plan again, or undo it")).map(|()| true)
}

/// It makes no more instances, and is halted once those that it has made rest.
fn stop(tx: &mut Tx<'_>, plan: &LaunchPlan, why: String) -> Result<()> {
    tx.change_from(plan, |plan| plan.status_reason = Some(why)).map(drop)
}
