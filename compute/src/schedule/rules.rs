//! Relationships between groups, as the scheduler follows them.

use crate::schedule::node::{Candidate, Refusal};
use cirro_models::{
    Name,
    compute::launch_group::{LaunchGroup, Relationship, RelationshipKind},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a relationship demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleKind {
    /// Of one group: each on a node of its own. Of several: members of different groups on different nodes.
    Apart,
    /// All on one node.
    Together,
    /// Evenly over the values of this node label.
    Spread(String),
}

/// A relationship between groups by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it demands.
    pub kind: RuleKind,
    /// Of which groups.
    pub groups: Vec<usize>,
    /// Whether nothing may go against it.
    pub required: bool,
}

/// The rules of a plan. Groups that it does not have are passed over: its request was checked.
pub fn rules(groups: &[LaunchGroup], relationships: &[Relationship]) -> Vec<Rule> {
    let number = |name: &Name| groups.iter().position(|group| group.name == *name);
    let rule = |relationship: &Relationship| {
        let kind = match (&relationship.kind, &relationship.label) {
            (RelationshipKind::DifferentNode, _) => RuleKind::Apart,
            (RelationshipKind::SameNode, _) => RuleKind::Together,
            (RelationshipKind::Spread, Some(label)) => RuleKind::Spread(label.clone()),
            _ => return None,
        };
        // a group that is named twice is named once
        let groups: BTreeSet<usize> = relationship.groups.iter().filter_map(number).collect();
        Some(Rule { kind, groups: groups.into_iter().collect(), required: relationship.required })
    };
    relationships.iter().filter_map(rule).collect()
}

/// Two groups of which required rules want at once that they share a node and that they don't.
pub fn contradiction(rules: &[Rule], counts: &[i64]) -> Option<(usize, usize)> {
    // which groups must share a node, however many relationships say so together
    let mut home: Vec<usize> = (0..counts.len()).collect();
    let mut shares = vec![false; counts.len()];
    for rule in rules.iter().filter(|rule| rule.required && rule.kind == RuleKind::Together) {
        let Some(first) = rule.groups.first() else { continue };
        for group in &rule.groups {
            shares[*group] = true;
            let (from, to) = (home[*group], home[*first]);
            home.iter_mut().filter(|home| **home == from).for_each(|home| *home = to);
        }
    }
    for rule in rules.iter().filter(|rule| rule.required && rule.kind == RuleKind::Apart) {
        if let [only] = rule.groups[..] {
            if shares[only] && counts[only] > 1 {
                return Some((only, only));
            }
            continue;
        }
        for (n, one) in rule.groups.iter().enumerate() {
            if let Some(other) = rule.groups[n + 1..].iter().find(|other| home[**other] == home[*one]) {
                return Some((*one, *other));
            }
        }
    }
    None
}

/// What is where by now, as far as rules ask.
pub(super) struct Ledger<'r> {
    rules: &'r [Rule],
    /// For each group, how many of it are on each node.
    on: Vec<Vec<u32>>,
    /// For each rule that wants things together: where they are, and what of them is still to come.
    anchors: Vec<Option<usize>>,
    to_come: Vec<[i64; 3]>,
    /// For each rule that spreads: each node's value, and how many there are of each value.
    values: Vec<Vec<Option<usize>>>,
    counts: Vec<Vec<i64>>,
}

impl<'r> Ledger<'r> {
    pub(super) fn new(rules: &'r [Rule], wanted: &[([i64; 3], i64)], nodes: &[Candidate]) -> Self {
        let total = |rule: &Rule| {
            let members = rule.groups.iter().map(|group| wanted[*group]);
            members.fold([0; 3], |sum, (need, count)| std::array::from_fn(|n| sum[n] + need[n] * count))
        };
        let (mut values, mut counts) = (Vec::new(), Vec::new());
        for rule in rules {
            let (of_nodes, number) = match &rule.kind {
                RuleKind::Spread(label) => by_value(nodes, label),
                RuleKind::Apart | RuleKind::Together => (Vec::new(), 0),
            };
            values.push(of_nodes);
            counts.push(vec![0; number]);
        }
        Self {
            rules,
            on: vec![vec![0; if rules.is_empty() { 0 } else { nodes.len() }]; wanted.len()],
            anchors: vec![None; rules.len()],
            to_come: rules.iter().map(total).collect(),
            values,
            counts,
        }
    }
    /// Whether any rule is about the group.
    pub(super) fn binds(&self, group: usize) -> bool {
        self.rules.iter().any(|rule| rule.groups.contains(&group))
    }
    /// Which required rule keeps a member of the group from the node, and how many preferences it would not meet there.
    pub(super) fn judge(&self, group: usize, node: usize, free: [i64; 3]) -> Result<i64, Refusal> {
        let mut unmet = 0;
        for (n, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.groups.contains(&group)) {
            if let Some(refusal) = self.against(n, rule, group, node, free) {
                if rule.required {
                    return Err(refusal);
                }
                unmet += 1;
            }
        }
        Ok(unmet)
    }
    fn against(&self, n: usize, rule: &Rule, group: usize, node: usize, free: [i64; 3]) -> Option<Refusal> {
        match rule.kind {
            RuleKind::Apart => {
                let alone = rule.groups.len() == 1;
                let rivals = rule.groups.iter().filter(|other| alone || **other != group);
                rivals.into_iter().any(|other| self.on[*other][node] > 0).then_some(Refusal::Apart)
            }
            RuleKind::Together => match self.anchors[n] {
                Some(anchor) => (anchor != node).then_some(Refusal::Together),
                None => free.iter().zip(self.to_come[n]).any(|(free, all)| *free < all).then_some(Refusal::Together),
            },
            RuleKind::Spread(_) => {
                let least = self.counts[n].iter().min();
                let here = self.values[n][node].map(|value| &self.counts[n][value]);
                (here.is_none() || here > least).then_some(Refusal::Uneven)
            }
        }
    }
    /// A member of the group goes to the node.
    pub(super) fn take(&mut self, group: usize, node: usize, need: [i64; 3]) {
        if self.rules.is_empty() {
            return;
        }
        self.on[group][node] += 1;
        for (n, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.groups.contains(&group)) {
            match rule.kind {
                RuleKind::Apart => {}
                RuleKind::Together => {
                    self.anchors[n].get_or_insert(node);
                    self.to_come[n] = std::array::from_fn(|r| self.to_come[n][r] - need[r]);
                }
                RuleKind::Spread(_) => {
                    if let Some(value) = self.values[n][node] {
                        self.counts[n][value] += 1;
                    }
                }
            }
        }
    }
}

/// The number of each node's value of a label, and how many values there are on nodes that take instances.
fn by_value(nodes: &[Candidate], label: &str) -> (Vec<Option<usize>>, usize) {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for value in nodes.iter().filter(|node| node.usable().is_none()).filter_map(|node| node.labels.get(label)) {
        let next = numbers.len();
        numbers.entry(value).or_insert(next);
    }
    let of = |node: &Candidate| node.labels.get(label).and_then(|value| numbers.get(value.as_str()).copied());
    (nodes.iter().map(of).collect(), numbers.len())
}
