//! Places for many instances at once.

use crate::schedule::{
    fix,
    node::{Candidate, Need, Refusal, lacks, slack},
    rules::{Ledger, Rule},
};
use cirro_models::{
    Count, Error, Id,
    compute::{
        Node,
        placement::{Placement, PlacementPolicy, Shortage},
    },
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// Equal instances.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What people call the group.
    pub name: String,
    /// What each takes.
    pub need: Need,
    /// How many.
    pub count: i64,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The groups.
    pub groups: &'a [Asked],
    /// How they stand to each other.
    pub rules: &'a [Rule],
    /// Which of the nodes with room is taken.
    pub policy: &'a PlacementPolicy,
    /// Decides between nodes that are equally good.
    pub seed: u64,
    /// Nodes that must not be taken.
    pub without: &'a [Id<Node>],
    /// Which nodes hold members of the groups already: rules count them.
    pub present: &'a [(usize, Id<Node>)],
}

/// An instance's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The node's number in the snapshot.
    pub node: usize,
    /// Why it is that one.
    pub placement: Placement,
}

/// What became of a group.
#[derive(Debug, Clone, Default)]
pub struct PlannedGroup {
    /// The instances' places in the order of their numbers.
    pub spots: Vec<Option<Spot>>,
    /// How many nodes refused the first instance without a place, by the reason's number; nothing if all have one.
    refused: Option<[i64; Refusal::ALL.len()]>,
    /// What would have helped it.
    pub fix: Option<fix::Fix>,
}

/// What became of a request.
#[derive(Debug, Clone, Default)]
pub struct Planned {
    /// Its groups, in its order.
    pub groups: Vec<PlannedGroup>,
}

/// Finds places. Never more than a node has, never against a required rule.
pub fn plan(request: &Request<'_>, nodes: &[Candidate]) -> Planned {
    let wanted = wanted(request);
    let mut planner = Planner::new(request, nodes);
    planner.remember(request.present);
    let mut planned = Planned { groups: vec![PlannedGroup::default(); wanted.len()] };
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    // large ones first: small ones fit into what is left. Equal ones stay in the request's order.
    order.sort_by_key(|group| Reverse(planner.part(wanted[*group].0)));
    for group in order {
        let (need, count) = wanted[group];
        planned.groups[group] = planner.group(group, need, count);
    }
    planned
}

/// How good this node is for one more of a group while these others are where they are (group and node of each), or why it
/// can't have it. What others take is claimed of the nodes already.
pub fn judge(
    request: &Request<'_>,
    nodes: &[Candidate],
    others: &[(usize, usize)],
    group: usize,
    node: usize,
) -> Result<i64, Refusal> {
    let mut planner = Planner::new(request, nodes);
    for (group, node) in others {
        planner.ledger.take(*group, *node, request.groups[*group].need.numbers());
    }
    planner.judge(group, node, request.groups[group].need.numbers())
}

struct Planner<'a> {
    request: &'a Request<'a>,
    nodes: &'a [Candidate],
    free: Vec<[i64; 3]>,
    capacity: Vec<[i64; 3]>,
    closed: Vec<Option<Refusal>>,
    tie: Vec<u64>,
    ledger: Ledger<'a>,
}

/// What looking at all nodes for one instance has shown.
#[derive(PartialEq)]
struct Look {
    best: Option<(i64, usize)>,
    second: Option<i64>,
    refused: [i64; Refusal::ALL.len()],
}

/// All nodes as a group likes them. Where no rule is about the group, a place that is taken changes its own node alone, so
/// that a hundred thousand instances are not a hundred thousand looks at all nodes.
#[derive(Default)]
struct Ranking {
    order: BTreeSet<(i64, u64, Reverse<usize>)>,
    scores: Vec<Option<i64>>,
    refused: [i64; Refusal::ALL.len()],
}

impl Ranking {
    /// A node is as good as this from now on. One that was refused is never judged again: its room does not grow.
    fn judged(&mut self, node: usize, tie: u64, judgement: Result<i64, Refusal>) {
        if let Some(before) = self.scores[node].take() {
            self.order.remove(&(before, tie, Reverse(node)));
        }
        match judgement {
            Ok(score) => {
                self.scores[node] = Some(score);
                self.order.insert((score, tie, Reverse(node)));
            }
            Err(refusal) => self.refused[refusal as usize] += 1,
        }
    }
    fn look(&self) -> Look {
        let mut best = self.order.iter().rev().map(|(score, _, Reverse(node))| (*score, *node));
        Look { best: best.next(), second: best.next().map(|(score, _)| score), refused: self.refused }
    }
}

/// What each of a group takes, and how many there are.
fn wanted(request: &Request<'_>) -> Vec<([i64; 3], i64)> {
    request.groups.iter().map(|group| (group.need.numbers(), group.count)).collect()
}

/// Why a node can't be taken, whatever is asked for.
fn closed(node: &Candidate, without: &[Id<Node>]) -> Option<Refusal> {
    node.usable().or_else(|| without.contains(&node.id).then_some(Refusal::Tried))
}

impl<'a> Planner<'a> {
    fn new(request: &'a Request<'a>, nodes: &'a [Candidate]) -> Self {
        Self {
            request,
            nodes,
            free: nodes.iter().map(Candidate::free).collect(),
            capacity: nodes.iter().map(|node| node.capacity.numbers()).collect(),
            closed: nodes.iter().map(|node| closed(node, request.without)).collect(),
            tie: nodes.iter().map(|node| tie(node, request.seed)).collect(),
            ledger: Ledger::new(request.rules, &wanted(request), nodes),
        }
    }
    /// Takes note of what is there already; what it takes of its nodes is claimed.
    fn remember(&mut self, present: &[(usize, Id<Node>)]) {
        for (group, id) in present {
            if let Some(node) = self.nodes.iter().position(|node| node.id == *id) {
                self.ledger.take(*group, node, [0; 3]);
            }
        }
    }
    /// The largest part of any one node's capacity that is needed, in thousandths.
    fn part(&self, need: [i64; 3]) -> i64 {
        let most = |n: usize| self.capacity.iter().map(|capacity| capacity[n]).max().unwrap_or(0).max(1);
        (0..3).map(|n| need[n] * 1000 / most(n)).max().unwrap_or(0)
    }
    fn group(&mut self, group: usize, need: [i64; 3], count: i64) -> PlannedGroup {
        let mut planned = PlannedGroup::default();
        let mut ranking = (!self.ledger.binds(group)).then(|| self.ranking(group, need));
        for _ in 0..count {
            // equal instances: once there is no place for one, there is none for the next
            let look = match &ranking {
                _ if planned.refused.is_some() => Look::nothing(),
                Some(ranking) => ranking.look(),
                None => self.look(group, need),
            };
            debug_assert!(planned.refused.is_some() || look == self.look(group, need), "the ranking is out of date");
            let Some((score, node)) = look.best else {
                if planned.refused.is_none() {
                    planned.refused = Some(look.refused);
                    planned.fix = Some(self.fix(group, need));
                }
                planned.spots.push(None);
                continue;
            };
            self.free[node] = std::array::from_fn(|n| self.free[node][n] - need[n]);
            self.ledger.take(group, node, need);
            if let Some(ranking) = &mut ranking {
                ranking.judged(node, self.tie[node], self.judge(group, node, need));
            }
            planned.spots.push(Some(Spot { node, placement: self.placement(&look, score) }));
        }
        planned
    }
    fn ranking(&self, group: usize, need: [i64; 3]) -> Ranking {
        let mut ranking = Ranking { scores: vec![None; self.nodes.len()], ..Ranking::default() };
        for node in 0..self.nodes.len() {
            ranking.judged(node, self.tie[node], self.judge(group, node, need));
        }
        ranking
    }
    fn look(&self, group: usize, need: [i64; 3]) -> Look {
        let mut look = Look::nothing();
        for node in 0..self.nodes.len() {
            match self.judge(group, node, need) {
                Err(refusal) => look.refused[refusal as usize] += 1,
                Ok(score) => look.consider(score, node, &self.tie),
            }
        }
        look
    }
    /// How good a node is, or why it can't be.
    fn judge(&self, group: usize, node: usize, need: [i64; 3]) -> Result<i64, Refusal> {
        if let Some(refusal) = self.closed[node].or_else(|| lacks(self.free[node], need)) {
            return Err(refusal);
        }
        let unmet = self.ledger.judge(group, node, self.free[node])?;
        let slack = slack(self.free[node], need, self.capacity[node]);
        let rank = if *self.request.policy == PlacementPolicy::BestFit { 1000 - slack } else { slack };
        Ok(rank - 1000 * unmet)
    }
    fn placement(&self, look: &Look, score: i64) -> Placement {
        Placement {
            policy: self.request.policy.clone(),
            considered: Count::new(i64::try_from(self.nodes.len()).unwrap_or(i64::MAX)),
            refused: named(&look.refused),
            score,
            runner_up: look.second,
            tried: Vec::new(),
        }
    }
    fn fix(&self, group: usize, need: [i64; 3]) -> fix::Fix {
        let rule = |node: usize| self.ledger.judge(group, node, self.free[node]).is_err();
        fix::smallest(need, &self.free, &self.closed, rule)
    }
}

impl Look {
    fn nothing() -> Self {
        Self { best: None, second: None, refused: [0; Refusal::ALL.len()] }
    }
    fn consider(&mut self, score: i64, node: usize, tie: &[u64]) {
        let beats = self.best.is_none_or(|(best, other)| (score, tie[node]) > (best, tie[other]));
        let loser = if beats { self.best.replace((score, node)).map(|(best, _)| best) } else { Some(score) };
        self.second = self.second.max(loser);
    }
}

/// Decides between equals, differently for each seed (the finaliser of `SplitMix64`).
fn tie(node: &Candidate, seed: u64) -> u64 {
    let (high, low) = node.id.uuid().as_u64_pair();
    let mut mixed = (high ^ low.rotate_left(32) ^ seed).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn named(refused: &[i64; Refusal::ALL.len()]) -> BTreeMap<String, i64> {
    let counted = Refusal::ALL.iter().zip(refused).filter(|(_, count)| **count > 0);
    counted.map(|(refusal, count)| (refusal.text().to_owned(), *count)).collect()
}

impl Planned {
    /// How many instances have a place.
    pub fn placed(&self) -> usize {
        self.groups.iter().flat_map(|group| &group.spots).flatten().count()
    }
    /// What has none, by group.
    pub fn short(&self, request: &Request<'_>, nodes: &[Candidate]) -> Vec<Shortage> {
        let shortage = |(asked, group): (&Asked, &PlannedGroup)| {
            let (refused, fix) = (group.refused?, group.fix.as_ref()?);
            let missing = group.spots.iter().filter(|spot| spot.is_none()).count();
            let mut reasons: Vec<_> = named(&refused).into_iter().collect();
            reasons.sort_by_key(|(_, count)| Reverse(*count));
            let of = nodes.len();
            let reasons = reasons.iter().map(|(reason, count)| format!("{count} of {of} nodes: {reason}")).collect();
            let room = match group.spots.len() - missing {
                0 => format!("no node has room for {}", asked.need),
                some => format!("there is room for {some} of {} with {}", asked.count, asked.need),
            };
            Some(Shortage {
                group: asked.name.clone(),
                count: i64::try_from(missing).unwrap_or(i64::MAX),
                detail: format!("{room}: {}", fix.text),
                reasons,
            })
        };
        request.groups.iter().zip(&self.groups).filter_map(shortage).collect()
    }
    /// Why not all of it has a place, as an error.
    pub fn refusal(&self, request: &Request<'_>, nodes: &[Candidate]) -> Error {
        let short = self.short(request, nodes);
        let several = request.groups.len() > 1;
        let detail = short.iter().map(|short| {
            if several { format!("group {}: {}", short.group, short.detail) } else { short.detail.clone() }
        });
        let reasons = short.iter().flat_map(|short| {
            let named = |reason: &String| if several { format!("{}: {reason}", short.group) } else { reason.clone() };
            short.reasons.iter().map(named).collect::<Vec<_>>()
        });
        Error::NoCapacity { detail: detail.collect::<Vec<_>>().join("; "), reasons: reasons.collect() }
    }
}
