//! The smallest change with which an instance would have had a place.

use crate::schedule::node::{Need, Refusal, lacks};

/// What to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Let the node with this number take new instances.
    Open(usize),
    /// Wait until the node with this number, where launches kept failing, is tried again.
    Wait(usize),
    /// Ask for no more than this.
    Smaller(Need),
    /// Make the relationship a preference, or add nodes.
    Relax,
    /// Bring nodes to report that do not.
    Wake,
    /// Add a node.
    Add,
}

/// A change, and a sentence that says it to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What to change.
    pub change: Change,
    /// The sentence, without its end.
    pub text: String,
}

/// The smallest change for this need. What is cheapest to do comes first: open a node, ask for less, relax a rule.
pub(super) fn smallest(
    need: [i64; 3],
    free: &[[i64; 3]],
    closed: &[Option<Refusal>],
    against_a_rule: impl Fn(usize) -> bool,
) -> Fix {
    let fix = |change, text: String| Fix { change, text };
    if free.is_empty() {
        return fix(Change::Add, "the site has no node yet; start an agent".to_owned());
    }
    let fits = |node: usize| lacks(free[node], need).is_none();
    let nodes = || 0..free.len();
    if nodes().any(|node| closed[node].is_none() && fits(node)) {
        let text = "nodes have room but for a relationship; make it a preference (`required: false`), or add nodes";
        return fix(Change::Relax, text.to_owned());
    }
    let shut: Vec<_> = nodes()
        .filter(|node| closed[*node] == Some(Refusal::Closed) && fits(*node) && !against_a_rule(*node))
        .collect();
    if let Some(first) = shut.first() {
        let text = format!(
            "{} drained that would have room; let a node take instances again (`cirro node return`)",
            if shut.len() == 1 { "one node is".to_owned() } else { format!("{} nodes are", shut.len()) }
        );
        return fix(Change::Open(*first), text);
    }
    let ill = |node: &usize| closed[*node] == Some(Refusal::Failing) && fits(*node) && !against_a_rule(*node);
    if let Some(first) = nodes().find(ill) {
        let text = "a node would have room, but launches keep failing there; look why (`cirro node list`), or wait until it is tried again";
        return fix(Change::Wait(first), text.to_owned());
    }
    let open = nodes().filter(|node| closed[*node].is_none() && !against_a_rule(*node));
    // of each node what it has, up to what is asked; the one that gives the largest part of everything is nearest
    let offers = open.map(|node| std::array::from_fn(|n| free[node][n].clamp(0, need[n])));
    let part = |offer: &[i64; 3]| (0..3).map(|n| offer[n] * 1_000_000 / need[n].max(1)).min();
    match offers
        .filter(|offer: &[i64; 3]| offer.iter().zip(need).all(|(offer, need)| *offer > 0 || need == 0))
        .max_by_key(part)
    {
        Some(nearest) => {
            let smaller = Need::of(nearest);
            fix(
                Change::Smaller(smaller),
                format!("one with at most {smaller} would fit; use a smaller flavor, or delete something"),
            )
        }
        None if closed.iter().all(Option::is_some) => {
            fix(Change::Wake, "no node takes instances now; check the agents (`cirro node list`)".to_owned())
        }
        None => fix(Change::Add, "the nodes are full; delete something, or add a node".to_owned()),
    }
}
