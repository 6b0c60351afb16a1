//! What a plan takes, when it is looked at, held or launched.

use crate::{
    claims::{self, Claim},
    launch::{
        HELD_S, PLACEMENT, Referenced,
        begin::Changed,
        fetched::{self, Fetched},
        instance_id, names, quota,
        rest::Rest,
        rows::{self, Placed, numbered},
    },
    schedule::{self, Asked, Candidate, Need, Planned, Rule},
};
use cirro_models::{
    Bytes, Error, Id, Result, Timestamp,
    compute::{
        LaunchPlan, Node,
        launch_group::MOST,
        launch_plan::{PlanIntent, PlanStatus},
        placement::{Outlook, Place, Shortage},
    },
};
use cirro_server::Tx;
use std::collections::{BTreeMap, BTreeSet};

/// The most places that an outlook lists.
const LISTED: usize = 1000;

/// When room that is taken now is given back.
pub(crate) fn hold_ends() -> Timestamp {
    Timestamp::now().plus_seconds(HELD_S)
}

/// Does what the plan is intended for, and sets its status and outlook. Nothing is written of the plan itself. Of what is launched the
/// first `batch` instances are made; for the rest the plan holds claims until [`super::expand`] makes them.
///
/// # Errors
/// What keeps all of it, or any of it, from being launched; then nothing is taken.
pub(crate) fn take(tx: &mut Tx<'_>, plan: &mut LaunchPlan, referenced: &Referenced, batch: usize) -> Result<()> {
    tx.exclusive(PLACEMENT)?;
    names::are_free(tx, plan)?;
    let nodes = claims::candidates(tx)?;
    if plan.status == PlanStatus::Held && plan.intent == PlanIntent::Launch {
        return launch_held(tx, plan, referenced, &nodes, batch);
    }
    let work = Work::new(tx, plan, referenced, nodes)?;
    let seen =
        plan.outlook.take().filter(|_| plan.status == PlanStatus::Previewed && plan.intent == PlanIntent::Launch);
    let mut outlook = work.outlook(plan);
    if plan.intent == PlanIntent::Preview {
        let fetched = fetched::find(tx.connection(), plan.groups.iter().map(|group| group.template.image_id))?;
        outlook.image_bytes = work.image_bytes(plan, &fetched);
        (plan.status, plan.outlook) = (PlanStatus::Previewed, Some(outlook));
        return Ok(());
    }
    work.require_enough(plan)?;
    if let Some(change) = seen.and_then(|seen| difference(&seen, &outlook)) {
        let what = format!("plan {} would not do what it showed: {change}; look at it again", plan.name);
        return Err(Error::conflict(what));
    }
    quota::charge(tx, &referenced.project, &work.taken())?;
    let held = plan.intent == PlanIntent::Hold;
    claims::add(tx.connection(), &work.claims(plan, if held { 0 } else { batch }))?;
    if held {
        (plan.status, plan.held_until) = (PlanStatus::Held, Some(hold_ends()));
    } else {
        begin(tx, plan, referenced, &work.placed, batch)?;
        outlook.places.clear();
    }
    plan.outlook = Some(outlook);
    Ok(())
}

/// The first instances come to be, and as many of them as may be on their way begin. What the others are launched with is kept.
fn begin(
    tx: &mut Tx<'_>,
    plan: &mut LaunchPlan,
    referenced: &Referenced,
    placed: &[Placed],
    batch: usize,
) -> Result<()> {
    let at_once = plan.max_in_flight.map_or(usize::MAX, |most| usize::try_from(most.get()).unwrap_or(usize::MAX));
    let rest = Rest::of(tx, referenced);
    rows::add(tx, plan, &rest, &placed[..placed.len().min(batch)], &Changed::default(), at_once)?;
    if placed.len() > batch {
        rest.keep(tx.connection(), plan.id)?;
    }
    (plan.status, plan.held_until, plan.status_reason) = (PlanStatus::Launching, None, None);
    Ok(())
}

/// Launches exactly what is held, or says which of it can't be any more.
fn launch_held(
    tx: &mut Tx<'_>,
    plan: &mut LaunchPlan,
    referenced: &Referenced,
    nodes: &[Candidate],
    batch: usize,
) -> Result<()> {
    let by_id: BTreeMap<_, _> = nodes.iter().map(|node| (node.id, node)).collect();
    let mut placed = Vec::new();
    let mut lost = BTreeSet::new();
    for claim in claims::held(tx.connection(), plan.id, claims::Order::Instances, MOST)? {
        let node = claim.node;
        match Placed::held(plan, claim).filter(|_| by_id.get(&node).is_some_and(|node| node.usable().is_none())) {
            Some(place) => placed.push(place),
            None => drop(lost.insert(node)),
        }
    }
    let refused = |what: String| {
        Err(Error::conflict(format!("plan {} can't be launched as it is held: {what}; hold it anew", plan.name)))
    };
    if let Some(other) = placed.iter().find(|place| place.need != referenced.parts[place.group].0) {
        return refused(format!("the flavor of group {} has changed", plan.groups[other.group].name));
    }
    if !lost.is_empty() {
        return refused(format!("{} of its nodes take no instances any more", lost.len()));
    }
    let first: Vec<_> = placed.iter().take(batch).map(|place| place.id).collect();
    claims::hand_over(tx.connection(), &first)?;
    begin(tx, plan, referenced, &placed, batch)
}

/// Where the instances would go, and what stands against it.
struct Work {
    nodes: Vec<Candidate>,
    planned: Planned,
    asked: Vec<Asked>,
    rules: Vec<Rule>,
    needs: Vec<(Need, i64)>,
    bytes: Vec<Bytes>,
    /// What the quota does not allow, by group.
    quota: Vec<(i64, Option<Error>)>,
    placed: Vec<Placed>,
}

impl Work {
    fn new(tx: &mut Tx<'_>, plan: &LaunchPlan, referenced: &Referenced, nodes: Vec<Candidate>) -> Result<Self> {
        let counts: Vec<i64> = plan.groups.iter().map(|group| group.count.get()).collect();
        let rules = schedule::rules(&plan.groups, plan.relationships.as_deref().unwrap_or_default());
        if let Some((one, other)) = schedule::contradiction(&rules, &counts) {
            return Err(contradiction(plan, one, other));
        }
        for (group, (need, _)) in plan.groups.iter().zip(&referenced.parts) {
            schedule::require_possible(group.name.as_str(), need, &nodes)?;
        }
        let quota = quota::allowed(tx, referenced, &counts)?;
        let asked = plan
            .groups
            .iter()
            .zip(&referenced.parts)
            .zip(&quota)
            .map(|((group, (need, _)), (count, _))| Asked { name: group.name.to_string(), need: *need, count: *count });
        let mut work = Self {
            nodes,
            planned: Planned::default(),
            asked: asked.collect(),
            rules,
            needs: referenced.parts.iter().map(|(need, _)| *need).zip(counts).collect(),
            bytes: referenced.parts.iter().map(|(_, launch)| launch.bytes()).collect(),
            quota,
            placed: Vec::new(),
        };
        work.planned = schedule::plan(&work.request(plan), &work.nodes);
        work.placed = work.place(plan);
        Ok(work)
    }
    fn request<'a>(&'a self, plan: &'a LaunchPlan) -> schedule::Request<'a> {
        let seed = plan.id.uuid().as_u64_pair().1;
        let (groups, rules, policy) = (&self.asked, &self.rules, &plan.policy);
        schedule::Request { groups, rules, policy, seed, without: &[], present: &[] }
    }
    fn place(&self, plan: &LaunchPlan) -> Vec<Placed> {
        let place = |(index, (group, number)): (usize, (usize, i64))| {
            let at = usize::try_from(number - 1).ok()?;
            let spot = self.planned.groups[group].spots.get(at)?.as_ref()?;
            let (node, placement) = (self.nodes[spot.node].id, spot.placement.clone());
            Some(Placed { id: instance_id(plan.id, index), group, number, need: self.needs[group].0, node, placement })
        };
        numbered(plan).enumerate().filter_map(place).collect()
    }
    /// Refuses where not all, or nothing at all, can be launched.
    fn require_enough(&self, plan: &LaunchPlan) -> Result<()> {
        if count(self.placed.len()) == plan.count() || !(plan.all_or_nothing || self.placed.is_empty()) {
            return Ok(());
        }
        match self.quota.iter().find_map(|(_, refusal)| refusal.clone()) {
            Some(refusal) => Err(refusal),
            None => Err(self.planned.refusal(&self.request(plan), &self.nodes)),
        }
    }
    /// What the placed ones take, by group.
    fn taken(&self) -> Vec<(Need, i64)> {
        let mut taken: Vec<_> = self.needs.iter().map(|(need, _)| (*need, 0)).collect();
        self.placed.iter().for_each(|placed| taken[placed.group].1 += 1);
        taken
    }
    /// All but the first `own` are held by the plan.
    fn claims(&self, plan: &LaunchPlan, own: usize) -> Vec<Claim> {
        let claim = |(n, placed): (usize, &Placed)| Claim {
            instance: placed.id,
            node: placed.node,
            need: placed.need,
            held_by: (n >= own).then_some(plan.id),
            placement: (n >= own).then(|| placed.placement.clone()),
        };
        self.placed.iter().enumerate().map(claim).collect()
    }
    fn outlook(&self, plan: &LaunchPlan) -> Outlook {
        let nodes: BTreeSet<Id<Node>> = self.placed.iter().map(|placed| placed.node).collect();
        let name = |placed: &Placed| plan.groups[placed.group].instance_name(placed.number).ok();
        let place = |placed| Some(Place { name: name(placed)?.to_string(), node_id: placed.node });
        Outlook {
            placed: count(self.placed.len()),
            nodes: count(nodes.len()),
            quota: quota::total(&self.taken()),
            of_free: self.of_free(),
            image_bytes: self.image_bytes(plan, &Fetched::new()),
            places: self.placed.iter().take(LISTED).filter_map(place).collect(),
            short: self.short(plan),
        }
    }
    fn of_free(&self) -> i64 {
        let open = self.nodes.iter().filter(|node| node.usable().is_none());
        let free = open.fold([0; 3], |sum: [i64; 3], node| std::array::from_fn(|n| sum[n] + node.free()[n].max(0)));
        let taken = self
            .taken()
            .iter()
            .fold([0; 3], |sum: [i64; 3], (need, count)| std::array::from_fn(|n| sum[n] + need.numbers()[n] * count));
        (0..3).map(|n| taken[n] * 1000 / free[n].max(1)).max().unwrap_or(0)
    }
    fn image_bytes(&self, plan: &LaunchPlan, fetched: &Fetched) -> Bytes {
        let crossing: BTreeMap<_, Bytes> = self
            .placed
            .iter()
            .map(|placed| ((plan.groups[placed.group].template.image_id, placed.node), self.bytes[placed.group]))
            .filter(|(crossing, _)| !fetched.contains(crossing))
            .collect();
        Bytes::new(crossing.values().map(|bytes| bytes.get()).sum())
    }
    fn short(&self, plan: &LaunchPlan) -> Vec<Shortage> {
        let by_quota = plan.groups.iter().zip(&self.quota).filter_map(|(group, (allowed, refusal))| {
            let count = group.count.get() - allowed;
            let detail = refusal.as_ref()?.to_string();
            Some(Shortage { group: group.name.to_string(), count, detail, reasons: Vec::new() })
        });
        by_quota.chain(self.planned.short(&self.request(plan), &self.nodes)).collect()
    }
}

/// As a number of the API.
fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn contradiction(plan: &LaunchPlan, one: usize, other: usize) -> Error {
    let (one, other) = (&plan.groups[one].name, &plan.groups[other].name);
    let who = if one == other {
        format!("the instances of group {one}")
    } else {
        format!("those of groups {one} and {other}")
    };
    Error::invalid(
        "relationships",
        format!("{who} must be both on the same node and on different ones: drop one of the two"),
    )
}

/// What has changed from one outlook to the next, in a sentence's part.
fn difference(seen: &Outlook, now: &Outlook) -> Option<String> {
    if seen.placed != now.placed {
        return Some(format!("{} of its instances have a place now, and {} had", now.placed, seen.placed));
    }
    let mut moved = seen.places.iter().zip(&now.places).filter(|(seen, now)| seen != now);
    let first = moved.next()?.0;
    let others = moved.count();
    let more = if others == 0 { String::new() } else { format!(", and so would {others} others") };
    Some(format!("{} would go to another node{more}", first.name))
}
