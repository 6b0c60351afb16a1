//! Where instances go: pure functions from a snapshot of the nodes and what is asked for to places with their reasons.
//!
//! For each instance in turn, the largest first: *filter* (which nodes can't take it, and why), *rank* (which of the others
//! is best by the policy and the preferences), *take* its room. The same snapshot, request and seed give the same answer.

mod fix;
mod node;
mod plan;
mod rules;
#[cfg(test)]
mod tests;

pub use fix::{Change, Fix};
pub use node::{Candidate, Need, Refusal, require_possible};
pub use plan::{Asked, Planned, Request, Spot, plan};
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
