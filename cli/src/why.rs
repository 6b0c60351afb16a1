//! `cirro why`: why an instance is on its node.

use crate::{escape, failure::Failure, launch::percent, names::Names, nouns::Noun, out, resolve, site::Site};
use cirro_models::{
    Model, Verbs,
    compute::{
        Instance, Node,
        placement::{Placement, PlacementPolicy, Tried},
    },
};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The instance's name or id
    #[arg(value_name = "INSTANCE")]
    which: String,
}

impl WhyArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<Instance>(site, &self.which).await?;
        let said = site.call(None, |ctx| async move { Instance::get(&ctx, id).await }).await?;
        let instance = &said.value;
        if site.is_json() {
            let fields = ["id", "name", "status", "status_reason", "node_id", "plan_id", "placement"];
            let told = fields.into_iter().map(|field| (field.to_owned(), said.json[field].clone()));
            return out::json(&told.collect::<serde_json::Map<_, _>>().into());
        }
        let before = instance.placement.iter().flat_map(|placement| &placement.tried).map(|tried| tried.node_id);
        let nodes = instance.node_id.into_iter().chain(before);
        let names = Names::of_ids(site, nodes.map(|node| (Node::SERVICE, Node::PATH, node.uuid()))).await;
        let node = instance.node_id.map(|node| names.name(node.uuid()));
        let mut lines = sentences(instance, node.as_deref());
        lines.extend(instance.placement.iter().flat_map(|placement| tried(placement, &names)));
        out::text(&lines.iter().map(|line| escape::line(line) + "\n").collect::<String>())
    }
}

/// What there is to say.
fn sentences(instance: &Instance, node: Option<&str>) -> Vec<String> {
    let label = instance.label();
    let mut lines = vec![match node {
        Some(node) => format!("instance {label} is on node {node}"),
        None => format!("instance {label} is on no node yet: it is {}", instance.status),
    }];
    lines.extend(instance.status_reason.iter().map(|reason| format!("its status says: {reason}")));
    match &instance.placement {
        Some(placement) => lines.extend(reasons(placement)),
        None => lines.push("nothing is recorded of how its node was chosen".to_owned()),
    }
    lines
}

/// What was recorded when an instance got its place.
pub(crate) fn reasons(placement: &Placement) -> Vec<String> {
    let considered = placement.considered.get();
    let refused: i64 = placement.refused.values().sum();
    let mut lines =
        vec![format!("{considered} nodes were looked at: {} could take it, {refused} fell out", considered - refused)];
    let mut by_count: Vec<_> = placement.refused.iter().collect();
    by_count.sort_by_key(|(reason, count)| (-**count, reason.as_str()));
    lines.extend(by_count.into_iter().map(|(reason, count)| format!("  {count}: {reason}")));
    lines.push(format!("the policy is {}: {}", placement.policy, policy(&placement.policy)));
    lines.push(format!("its node scored {}", score(placement.score)));
    lines.push(match placement.runner_up {
        Some(runner_up) => format!("the runner-up scored {}", score(runner_up)),
        None => "there was no runner-up".to_owned(),
    });
    lines
}

/// Where it was before.
fn tried(placement: &Placement, names: &Names) -> Vec<String> {
    let node = |tried: &Tried| format!("  {}: {}", names.name(tried.node_id.uuid()), tried.reason);
    let lines = placement.tried.iter().map(node);
    let first = (!placement.tried.is_empty()).then(|| "it was tried on these nodes:".to_owned());
    first.into_iter().chain(lines).collect()
}

/// What a policy takes.
pub(crate) fn policy(policy: &PlacementPolicy) -> &'static str {
    match policy {
        PlacementPolicy::Spread => "the node that keeps most of its scarcest resource free scores best",
        PlacementPolicy::BestFit => "the node that becomes fullest scores best",
        PlacementPolicy::Unknown(_) => "a newer release than this one says what that means",
    }
}

/// Thousandths, less 1000 for each preference that is not met (see [`Placement::score`]).
pub(crate) fn score(score: i64) -> String {
    let unmet = (-score).max(0).div_euclid(1000) + i64::from(score < 0 && score % 1000 != 0);
    let own = percent(score + unmet * 1000);
    match unmet {
        0 => own,
        1 => format!("{own}, with a preference that it does not meet"),
        _ => format!("{own}, with {unmet} preferences that it does not meet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_reasons_read_as_sentences() {
        let placement = json!({"policy": "spread", "considered": 100, "refused": {"is full": 12, "is in maintenance": 3},
            "score": 750, "runner_up": -260});
        let placement: Placement = serde_json::from_value(placement).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            reasons(&placement),
            [
                "100 nodes were looked at: 85 could take it, 15 fell out",
                "  12: is full",
                "  3: is in maintenance",
                "the policy is spread: the node that keeps most of its scarcest resource free scores best",
                "its node scored 75.0 %",
                "the runner-up scored 74.0 %, with a preference that it does not meet",
            ]
        );
    }

    #[test]
    fn a_score_tells_the_preferences_that_are_not_met() {
        assert_eq!(score(0), "0.0 %");
        assert_eq!(score(1000), "100.0 %");
        assert_eq!(score(-1000), "0.0 %, with a preference that it does not meet");
        assert_eq!(score(-1001), "99.9 %, with 2 preferences that it does not meet");
    }
}
