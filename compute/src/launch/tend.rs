//! What happens to a plan after it was accepted: instances begin as others come to rest, room that nobody used is given
//! back, and its progress is written down for whoever watches.

use crate::{
    claims,
    launch::{
        PLACEMENT, UndoPlan,
        begin::{self, Begun, Changed},
        elsewhere, progress, quota, rest,
    },
};
use cirro_models::{
    Context, Error, Id, Result, Timestamp,
    compute::{
        Instance, LaunchPlan,
        instance::instance_rows,
        launch_plan::{PlanIntent, PlanStatus, launchplan_rows},
        placement::Progress,
    },
    sql::{AnyConnection, Column, GuidValue, Table},
};
use cirro_server::{OwnerContext, Tx};
use diesel::prelude::*;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

/// How many plans are looked after in one round.
const BATCH: usize = 100;
/// How many plans may move at once; more have to wait for others to rest.
const MOVING: i64 = 10_000;
/// How many instances begin in one transaction.
const BEGUN: i64 = 1000;
/// Over how long a rate is measured.
const WINDOW: Duration = Duration::from_secs(5);

/// The first pause after a look that has shown nothing new.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause between two looks at a plan that stays as it is.
const LONGEST: Duration = Duration::from_secs(1);

/// How many instances of each plan ran at which moments, as this process has seen it, and when it is looked at again.
#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<Id<LaunchPlan>, Seen>>);

#[derive(Default)]
struct Seen {
    /// Moments, and how many ran then.
    ran: VecDeque<(Instant, i64)>,
    /// Nothing of it has changed with the last look: how long ago that was, and how long to wait after it.
    rests: Option<(Instant, Duration)>,
}

impl Rates {
    /// How many came to run per second lately.
    fn per_second(&self, plan: Id<LaunchPlan>, running: i64) -> f64 {
        let (mut seen, now) = (self.0.lock(), Instant::now());
        let seen = &mut seen.entry(plan).or_default().ran;
        while seen.len() > 1 && seen.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            seen.pop_front();
        }
        seen.push_back((now, running));
        let Some((first, before)) = seen.front() else { return 0.0 };
        let seconds = (now - *first).as_secs_f64();
        let more = u32::try_from(running - before).unwrap_or(0);
        if seconds < 0.05 { 0.0 } else { (f64::from(more) / seconds * 10.0).round() / 10.0 }
    }
    /// It is at rest, or somebody has changed what is wanted of it: it is looked at with the next round.
    pub(crate) fn forget(&self, plan: Id<LaunchPlan>) {
        self.0.lock().remove(&plan);
    }
    /// Whether it is to be looked at: one that waits for a node that hangs is counted seldom, or many of them would keep the
    /// writer from others.
    fn is_due(&self, plan: Id<LaunchPlan>) -> bool {
        let seen = self.0.lock();
        seen.get(&plan).and_then(|seen| seen.rests).is_none_or(|(since, pause)| since.elapsed() >= pause)
    }
    /// Whether the last look has shown nothing new.
    fn has_rested(&self, plan: Id<LaunchPlan>) -> bool {
        self.0.lock().get(&plan).is_some_and(|seen| seen.rests.is_some())
    }
    fn looked(&self, plan: Id<LaunchPlan>, changed: bool) {
        let mut all = self.0.lock();
        if changed {
            all.entry(plan).and_modify(|seen| seen.rests = None);
        } else {
            let seen = all.entry(plan).or_default();
            let pause = seen.rests.map_or(FIRST, |(_, pause)| (pause * 2).min(LONGEST));
            seen.rests = Some((Instant::now(), pause));
        }
    }
    /// Plans that do not move any more are not remembered.
    fn keep(&self, moving: &[Id<LaunchPlan>]) {
        let moving: HashSet<&Id<LaunchPlan>> = moving.iter().collect();
        self.0.lock().retain(|plan, _| moving.contains(plan));
    }
}

/// Looks after every plan that is not at rest, and every instance that goes elsewhere; says for how long nothing else could be
/// written meanwhile, if there was one. Whoever is late or twice does no harm: every step reads and writes in one transaction.
pub(crate) async fn tend(ctx: &Context) -> Result<Option<Duration>> {
    let now = Timestamp::now();
    let moving = [PlanStatus::Held, PlanStatus::Launching, PlanStatus::Undoing].map(|status| status.to_string());
    let resting = [PlanStatus::Undone, PlanStatus::Expired].map(|status| status.to_string());
    let plans: Vec<GuidValue> = ctx
        .database()?
        .read(move |c| {
            let over = launchplan_rows::expires_at.lt(now.store()).and(launchplan_rows::status.ne_all(resting));
            launchplan_rows::table
                .filter(launchplan_rows::status.eq_any(moving).or(over))
                // those that have not changed for longest first, so that none waits for ever
                .order(launchplan_rows::updated_at)
                .select(launchplan_rows::id)
                .limit(MOVING)
                .load(c)
                .map_err(Error::internal)
        })
        .await?;
    let rates = ctx.stores().part::<Rates>()?;
    let any = elsewhere::step(ctx).await? | !plans.is_empty();
    let plans: Vec<Id<LaunchPlan>> = plans.into_iter().map(|id| Id::from_uuid(id.0)).collect();
    rates.keep(&plans);
    let mut took = Duration::ZERO;
    for id in plans.into_iter().filter(|id| rates.is_due(*id)).take(BATCH) {
        if rates.has_rested(id) && ctx.database()?.read(move |c| stays(c, id, now)).await? {
            rates.looked(id, false);
            continue;
        }
        let measured = rates.clone();
        let write = move |tx: &mut Tx<'_>| {
            // from its begin: that it waits for its turn costs nobody anything
            let begun = Instant::now();
            let before = tx.find::<LaunchPlan>(id)?;
            step(tx, before.clone(), now, &measured)?;
            let version = |plan: Option<LaunchPlan>| plan.map(|plan| plan.meta.version);
            Ok((begun.elapsed(), version(tx.find(id)?) != version(before)))
        };
        let (time, changed) = ctx.write(write).await?;
        rates.looked(id, changed);
        took += time;
    }
    Ok(any.then_some(took))
}

/// Whether a plan that is being launched is as its row says, and only waits. That is counted where nobody waits for the writer.
fn stays(c: &mut AnyConnection, id: Id<LaunchPlan>, now: Timestamp) -> Result<bool> {
    let Some(plan) = LaunchPlan::select(c, &[id]).map_err(Error::internal)?.pop() else { return Ok(true) };
    let over = plan.expires_at.is_some_and(|at| at < now);
    let Some(known) = plan.progress.as_ref().filter(|_| plan.status == PlanStatus::Launching && !over) else {
        return Ok(false);
    };
    let waits_for_others = known.count("queued") == 0 && progress::under_way(known) > 0;
    if !waits_for_others {
        return Ok(false);
    }
    let progress = progress::count(c, id, launched(&plan))?;
    Ok(known.counts == progress.counts && known.waits == progress.waits)
}

fn step(tx: &mut Tx<'_>, found: Option<LaunchPlan>, now: Timestamp, rates: &Rates) -> Result<()> {
    let Some(mut plan) = found else { return Ok(()) };
    let id = plan.id;
    if plan.status == PlanStatus::Held {
        // nothing of it moves: there is nothing to count
        return if plan.held_until.is_none_or(|until| until < now) { expire(tx, &plan) } else { Ok(()) };
    }
    let over = plan.expires_at.is_some_and(|at| at < now) && plan.intent != PlanIntent::Undo;
    if over || plan.max_in_flight.is_some() {
        // instances of it may be made at this moment, and begin
        tx.exclusive(PLACEMENT)?;
        let Some(again) = tx.find::<LaunchPlan>(id)? else { return Ok(()) };
        plan = again;
    }
    let progress = progress::count(tx.connection(), id, launched(&plan))?;
    match plan.status {
        PlanStatus::Launching | PlanStatus::Launched | PlanStatus::Halted if over => {
            give_back(tx, &plan)?;
            UndoPlan::enqueue(tx, id)?;
            tx.change_from(&plan, |plan| {
                (plan.intent, plan.status) = (PlanIntent::Undo, PlanStatus::Undoing);
                plan.generation = plan.generation.next();
                plan.status_reason = Some("its time is over".to_owned());
            })
            .map(drop)
        }
        PlanStatus::Launching => launching(tx, &plan, progress, rates),
        PlanStatus::Undoing => undoing(tx, &plan, progress, rates),
        _ => Ok(()),
    }
}

/// How many instances it has made or will make.
pub(super) fn launched(plan: &LaunchPlan) -> i64 {
    plan.outlook.as_ref().map_or(0, |outlook| outlook.placed)
}

fn launching(tx: &mut Tx<'_>, plan: &LaunchPlan, mut progress: Progress, rates: &Rates) -> Result<()> {
    let (queued, moving) = (progress.count("queued"), progress::under_way(&progress));
    let failed = progress.count("failed");
    // one that can't go on says why before it rests
    let halted =
        queued > 0 && (plan.status_reason.is_some() || progress::halts_at(plan).is_some_and(|most| failed >= most));
    let begun = if queued == 0 || halted {
        0
    } else {
        let room = plan.max_in_flight.map_or(BEGUN, |most| most.get() - moving);
        begin_more(tx, plan.id, room.clamp(0, BEGUN))?
    };
    if begun > 0 {
        progress = progress::count(tx.connection(), plan.id, launched(plan))?;
    }
    measure(&mut progress, plan, rates);
    let rests = moving + begun == 0 && (queued == 0 || halted);
    if rests {
        rates.forget(plan.id);
    }
    let same =
        plan.progress.as_ref().is_some_and(|before| before.counts == progress.counts && before.waits == progress.waits);
    if same && !rests {
        return Ok(());
    }
    tx.change_from(plan, |plan| {
        plan.progress = Some(progress);
        if rests {
            plan.status = if halted { PlanStatus::Halted } else { PlanStatus::Launched };
            let why = plan.status_reason.take().filter(|_| halted);
            plan.status_reason = why.or_else(|| halted.then(|| {
                format!("{failed} instances have failed, and no more are begun: look at their reasons and delete them, then launch the plan again, or undo it")
            }));
        }
    })
    .map(drop)
}

/// Lets the first instances that wait begin, on the nodes where they have room.
fn begin_more(tx: &mut Tx<'_>, plan: Id<LaunchPlan>, most: i64) -> Result<i64> {
    let waiting: Vec<GuidValue> = instance_rows::table
        .filter(instance_rows::plan_id.eq(Some(plan.store())))
        .filter(instance_rows::node_id.is_null())
        .filter(instance_rows::leaving_node_id.is_null())
        .filter(instance_rows::deleted_at.is_null())
        .order(instance_rows::id)
        .select(instance_rows::id)
        .limit(most)
        .load(tx.connection())
        .map_err(Error::internal)?;
    let waiting: Vec<Id<Instance>> = waiting.into_iter().map(|id| Id::from_uuid(id.0)).collect();
    let places = claims::nodes_of(tx.connection(), &waiting)?;
    let changed = Changed::look(tx, places.iter().map(|(_, node)| *node))?;
    let (mut begun, mut elsewhere) = (0, Vec::new());
    for (instance, node) in places {
        tx.change::<Instance>(instance, |instance| {
            if changed.begin(instance, node) == Begun::Elsewhere {
                elsewhere.push(instance.id);
            }
        })?;
        begun += 1;
    }
    begin::give_up(tx, elsewhere)?;
    Ok(begun)
}

fn undoing(tx: &mut Tx<'_>, plan: &LaunchPlan, mut progress: Progress, rates: &Rates) -> Result<()> {
    let left: i64 = instance_rows::table
        .filter(instance_rows::plan_id.eq(Some(plan.id.store())))
        .filter(instance_rows::touched.is_null().or(instance_rows::deleted_at.is_not_null()))
        .count()
        .get_result(tx.connection())
        .map_err(Error::internal)?;
    if left == 0 {
        // on PostgreSQL the last may have gone after they were counted
        progress = progress::count(tx.connection(), plan.id, launched(plan))?;
    }
    measure(&mut progress, plan, rates);
    let same = plan.progress.as_ref().is_some_and(|before| before.counts == progress.counts);
    if same && left > 0 {
        return Ok(());
    }
    let kept: i64 =
        progress.counts.iter().filter(|(state, _)| *state != "gone" && *state != "deleting").map(|(_, n)| n).sum();
    let protected = if left == 0 { protected(tx, plan.id)? } else { 0 };
    tx.change_from(plan, |plan| {
        plan.progress = Some(progress);
        if left == 0 {
            rates.forget(plan.id);
            plan.status = PlanStatus::Undone;
            let and = if protected > 0 { format!(", and {protected} of them are protected") } else { String::new() };
            plan.status_reason = (kept > 0)
                .then(|| format!("{kept} instances are kept: somebody has changed them since they were launched{and}"));
        }
    })
    .map(drop)
}

/// How many instances of a plan can't be deleted.
fn protected(tx: &mut Tx<'_>, plan: Id<LaunchPlan>) -> Result<i64> {
    instance_rows::table
        .filter(instance_rows::plan_id.eq(Some(plan.store())))
        .filter(instance_rows::protected.eq(true))
        .count()
        .get_result(tx.connection())
        .map_err(Error::internal)
}

fn measure(progress: &mut Progress, plan: &LaunchPlan, rates: &Rates) {
    let done = if plan.status == PlanStatus::Undoing { progress.count("gone") } else { progress.count("running") };
    progress.per_second = rates.per_second(plan.id, done);
    let rest = progress.count("queued") + progress::under_way(progress) + progress.count("deleting");
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "seconds, to be read by people")]
    if progress.per_second > 0.0 && rest > 0 {
        progress.eta_s = Some((rest as f64 / progress.per_second).ceil() as i64);
    }
}

/// Gives back what a plan holds, so that nothing of it comes any more.
pub(crate) fn give_back(tx: &mut Tx<'_>, plan: &LaunchPlan) -> Result<()> {
    let held = claims::held_by(tx.connection(), plan.id)?;
    quota::refund(tx, plan.project_id, &held)?;
    rest::forget(tx.connection(), plan.id)?;
    claims::release(tx.connection(), plan.id)
}

fn expire(tx: &mut Tx<'_>, plan: &LaunchPlan) -> Result<()> {
    give_back(tx, plan)?;
    tx.change_from(plan, |plan| {
        (plan.status, plan.held_until) = (PlanStatus::Expired, None);
        plan.status_reason = Some("nobody launched it while its room was held: hold or launch it again".to_owned());
    })
    .map(drop)
}
