//! Finds the next node of an instance by the scheduler's own code, among those that it was not on before, and with the
//! relationships of the plan that made it.

use crate::{
    claims,
    launch::instance_index,
    schedule::{self, Asked, Candidate, Need, Rule},
};
use cirro_models::{
    Error, Id, Result,
    compute::{
        Instance, LaunchPlan, Node,
        placement::{Placement, PlacementPolicy},
    },
    sql::{Column, GuidValue, types::Guid},
};
use cirro_server::Tx;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use std::collections::HashMap;

#[derive(QueryableByName)]
struct Member {
    #[diesel(sql_type = Guid)]
    instance_id: GuidValue,
    #[diesel(sql_type = Guid)]
    node_id: GuidValue,
}

/// A plan's instances with their nodes: those that have begun, those that wait for their turn, and those that are still to come.
const MEMBERS: &str = "SELECT id AS instance_id, node_id FROM instance \
    WHERE plan_id = $1 AND node_id IS NOT NULL AND deleted_at IS NULL UNION ALL \
    SELECT claim.instance_id, claim.node_id FROM instance JOIN claim ON claim.instance_id = instance.id \
    WHERE plan_id = $1 AND instance.node_id IS NULL AND leaving_node_id IS NULL AND deleted_at IS NULL UNION ALL \
    SELECT instance_id, node_id FROM claim WHERE held_by = $1";

/// What an instance takes of a node.
pub(super) fn need(instance: &Instance) -> Need {
    Need { vcpus: instance.vcpus, memory_mib: instance.memory_mib, disk_gib: instance.disk_gib }
}

/// The nodes and plans as they are in one transaction, and what was taken in it.
pub(super) struct Search {
    nodes: Vec<Candidate>,
    plans: HashMap<Id<LaunchPlan>, Company>,
}

/// Whom an instance was launched with.
struct Company {
    names: Vec<String>,
    counts: Vec<i64>,
    rules: Vec<Rule>,
    policy: PlacementPolicy,
    /// Which of them are where; empty where no relationship asks.
    members: Vec<(Id<Instance>, usize, Id<Node>)>,
}

impl Search {
    pub(super) fn new(tx: &mut Tx<'_>) -> Result<Self> {
        Ok(Self { nodes: claims::candidates(tx)?, plans: HashMap::new() })
    }
    /// Its next place, or why there is none.
    pub(super) fn place_for(
        &mut self,
        tx: &mut Tx<'_>,
        instance: &Instance,
    ) -> Result<std::result::Result<(Id<Node>, Placement), Error>> {
        let mut without: Vec<Id<Node>> = instance.leaving_node_id.into_iter().collect();
        without.extend(instance.placement.iter().flat_map(|placement| &placement.tried).map(|tried| tried.node_id));
        let seed = instance.id.uuid().as_u64_pair().1;
        let asked = |name: &str, count| Asked { name: name.to_owned(), need: need(instance), count };
        self.learn(tx, instance)?;
        let Some(company) = self.company(instance) else {
            let groups = [asked(instance.name.as_str(), 1)];
            let policy = &PlacementPolicy::Spread;
            let request =
                schedule::Request { groups: &groups, rules: &[], policy, seed, without: &without, present: &[] };
            return Ok(schedule::place(&request, &self.nodes));
        };
        let own = company.group_of(instance);
        let groups: Vec<_> =
            company.names.iter().enumerate().map(|(n, name)| asked(name, i64::from(Some(n) == own))).collect();
        let others = company.members.iter().filter(|(id, ..)| *id != instance.id);
        let present: Vec<_> = others.map(|(_, group, node)| (*group, *node)).collect();
        let (rules, policy) = (&company.rules, &company.policy);
        let request = schedule::Request { groups: &groups, rules, policy, seed, without: &without, present: &present };
        Ok(place_of(own, &request, &self.nodes))
    }
    /// It goes there: the next search counts it.
    pub(super) fn take(&mut self, instance: &Instance, node: Id<Node>) {
        let need = need(instance);
        if let Some(found) = self.nodes.iter_mut().find(|candidate| candidate.id == node) {
            found.claimed = found.claimed.and(&need);
        }
        if let Some(company) = instance.plan_id.and_then(|plan| self.plans.get_mut(&plan))
            && let Some(group) = company.group_of(instance)
        {
            company.members.retain(|(id, ..)| *id != instance.id);
            company.members.push((instance.id, group, node));
        }
    }
    /// Reads the plan that made it, once.
    fn learn(&mut self, tx: &mut Tx<'_>, instance: &Instance) -> Result<()> {
        if let Some(id) = instance.plan_id.filter(|id| !self.plans.contains_key(id))
            && let Some(plan) = tx.find::<LaunchPlan>(id)?
        {
            let company = Company::of(tx, &plan)?;
            self.plans.insert(id, company);
        }
        Ok(())
    }
    fn company(&self, instance: &Instance) -> Option<&Company> {
        self.plans.get(&instance.plan_id?).filter(|company| company.group_of(instance).is_some())
    }
}

/// The only place that is asked for, in the group that asks.
fn place_of(
    own: Option<usize>,
    request: &schedule::Request<'_>,
    nodes: &[Candidate],
) -> std::result::Result<(Id<Node>, Placement), Error> {
    let mut planned = schedule::plan(request, nodes);
    let spot = own.and_then(|own| planned.groups.get_mut(own)).and_then(|group| group.spots.pop().flatten());
    spot.map(|spot| (nodes[spot.node].id, spot.placement)).ok_or_else(|| planned.refusal(request, nodes))
}

impl Company {
    fn of(tx: &mut Tx<'_>, plan: &LaunchPlan) -> Result<Self> {
        let mut company = Self {
            names: plan.groups.iter().map(|group| group.name.to_string()).collect(),
            counts: plan.groups.iter().map(|group| group.count.get()).collect(),
            rules: schedule::rules(&plan.groups, plan.relationships.as_deref().unwrap_or_default()),
            policy: plan.policy.clone(),
            members: Vec::new(),
        };
        if company.rules.is_empty() {
            return Ok(company);
        }
        let rows: Vec<Member> =
            sql_query(MEMBERS).bind::<Guid, _>(plan.id.store()).load(tx.connection()).map_err(Error::internal)?;
        for row in rows {
            let (id, node) = (Id::from_uuid(row.instance_id.0), row.node_id);
            if let Some(group) = company.group(plan.id, id) {
                company.members.push((id, group, Id::from_uuid(node.0)));
            }
        }
        Ok(company)
    }
    fn group_of(&self, instance: &Instance) -> Option<usize> {
        self.group(instance.plan_id?, instance.id)
    }
    /// The group of the plan's instance with this id.
    fn group(&self, plan: Id<LaunchPlan>, instance: Id<Instance>) -> Option<usize> {
        let mut index = instance_index(plan, instance)?;
        self.counts.iter().position(|count| {
            let within = index < *count;
            index -= count;
            within
        })
    }
}
