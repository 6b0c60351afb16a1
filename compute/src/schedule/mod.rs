//! Where instances go: pure functions from a snapshot of the nodes and what is asked for to places with their reasons.
//!
//! For each instance in turn, the largest first: *filter* (which nodes can't take it, and why), *rank* (which of the others
//! is best by the policy and the preferences), *take* its room. The same snapshot, request and seed give the same answer.

mod fix;
mod grow;
mod node;
mod plan;
mod rules;
#[cfg(test)]
mod tests;

pub use fix::{Change, Fix};
pub use grow::require_growth;
pub use node::{Candidate, Need, Refusal, require_possible};
pub use plan::{Asked, Planned, Request, Spot, judge, plan};
pub use rules::{Rule, RuleKind, contradiction, rules};

use cirro_models::{Error, Id, compute::Node, compute::placement::Placement};

/// The place of a single instance, or why there is none.
///
/// # Errors
/// `NoCapacity` with a count of each reason, and the smallest change that would help.
pub fn place(request: &Request<'_>, nodes: &[Candidate]) -> Result<(Id<Node>, Placement), Error> {
    let mut planned = plan(request, nodes);
    match planned.groups.first_mut().and_then(|group| group.spots.pop().flatten()) {
        Some(spot) => Ok((nodes[spot.node].id, spot.placement)),
        None => Err(planned.refusal(request, nodes)),
    }
}

/// How many instances with this need fit on the nodes as they are, and on how many nodes.
pub fn room(need: &Need, nodes: &[Candidate]) -> (i64, i64) {
    let each = need.numbers();
    let on_node = |node: &Candidate| {
        let (free, open) = (node.free(), node.usable().is_none());
        let fits = |n: usize| if each[n] == 0 { i64::MAX } else { free[n].max(0) / each[n] };
        if open { fits(0).min(fits(1)).min(fits(2)) } else { 0 }
    };
    let rooms: Vec<i64> = nodes.iter().map(on_node).filter(|room| *room > 0).collect();
    let all = rooms.iter().fold(0_i64, |sum, room| sum.saturating_add(*room));
    (all, i64::try_from(rooms.len()).unwrap_or(i64::MAX))
}
