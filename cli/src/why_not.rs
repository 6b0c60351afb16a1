//! `cirro why-not`: why an instance is not on a node, or could not be.

use crate::{
    escape,
    failure::Failure,
    names::Names,
    nouns::Noun,
    out, resolve,
    site::Site,
    why::{policy, reasons, score},
};
use cirro_models::{
    Error, Model, Verbs,
    compute::{Instance, Node, why_not::WhyNot},
};
use clap::Args;
use serde_json::Value;

#[derive(Debug, Args)]
pub(crate) struct WhyNotArgs {
    /// The instance's name or id
    #[arg(value_name = "INSTANCE")]
    which: String,
    /// The node's name or id
    #[arg(value_name = "NODE")]
    node: String,
}

impl WhyNotArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<Instance>(site, &self.which).await?;
        let node = resolve::id::<Node>(site, &self.node).await?;
        let path = &format!("/compute/v1/whynot/{id}?node_id={node}");
        let read = |ctx| async move { site.http().json::<WhyNot>(&ctx, "GET", path, None::<&Value>).await };
        let told = site.call(None, read).await?.value;
        if site.is_json() {
            return out::json(&serde_json::to_value(&told).map_err(Error::internal)?);
        }
        let instance = site.call(None, |ctx| async move { Instance::get(&ctx, id).await }).await?.value;
        let nodes = [Some(node), told.placed_on].into_iter().flatten();
        let names = Names::of_ids(site, nodes.map(|node| (Node::SERVICE, Node::PATH, node.uuid()))).await;
        let lines = sentences(&told, &instance.label(), &names);
        out::text(&lines.iter().map(|line| escape::line(line) + "\n").collect::<String>())
    }
}

/// What there is to say.
fn sentences(told: &WhyNot, instance: &str, names: &Names) -> Vec<String> {
    let node = names.name(told.node_id.uuid());
    let mut lines = vec![match told.placed_on {
        Some(own) if own == told.node_id => format!("instance {instance} is on node {node}"),
        Some(own) => format!("instance {instance} is on node {}, not on {node}", names.name(own.uuid())),
        None => format!("instance {instance} has no place on any node"),
    }];
    lines.push(match (&told.refusal, told.score) {
        (Some(refusal), _) => format!("it could not be placed on {node} now: the node {refusal}"),
        (None, Some(now)) => format!("it could be placed on {node} now, which would score {}", score(now)),
        (None, None) => format!("how {node} would score now is not told"),
    });
    if let Some(own) = told.own_score.filter(|_| told.placed_on != Some(told.node_id)) {
        lines.push(format!("its own node would score {} now", score(own)));
    }
    lines.push(format!("it takes {}; {node} has {} free", told.need, told.free));
    match &told.placement {
        Some(placement) => {
            lines.push("when it got its place:".to_owned());
            lines.extend(reasons(placement).into_iter().map(|line| format!("  {line}")));
        }
        None => lines.push(format!(
            "nothing is recorded of how its node was chosen; the policy is {}: {}",
            told.policy,
            policy(&told.policy)
        )),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(more: &Value) -> WhyNot {
        let amounts = json!({"vcpus": 4, "memory_mib": 512, "disk_gib": 5});
        let mut whole = json!({"instance_id": uuid::Uuid::from_u128(1), "node_id": uuid::Uuid::from_u128(2),
            "policy": "spread", "need": amounts, "free": {"vcpus": 1, "memory_mib": 1024, "disk_gib": 50}});
        more.as_object().into_iter().flatten().for_each(|(key, value)| whole[key] = value.clone());
        serde_json::from_value(whole).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_reasons_read_as_sentences() {
        let mut names = Names::default();
        names.learn(uuid::Uuid::from_u128(2), "node-0002");
        names.learn(uuid::Uuid::from_u128(3), "node-0003");
        let placement = json!({"policy": "spread", "considered": 2, "refused": {"is full": 1}, "score": 750});
        let refused = told(&json!({"placed_on": uuid::Uuid::from_u128(3), "refusal": "has too few free vCPUs",
            "own_score": 500, "placement": placement}));
        assert_eq!(
            sentences(&refused, "web1", &names),
            [
                "instance web1 is on node node-0003, not on node-0002",
                "it could not be placed on node-0002 now: the node has too few free vCPUs",
                "its own node would score 50.0 % now",
                "it takes 4 vCPUs, 512 MiB and 5 GiB of disk; node-0002 has 1 vCPUs, 1024 MiB and 50 GiB of disk free",
                "when it got its place:",
                "  2 nodes were looked at: 1 could take it, 1 fell out",
                "    1: is full",
                "  the policy is spread: the node that keeps most of its scarcest resource free scores best",
                "  its node scored 75.0 %",
                "  there was no runner-up",
            ]
        );
        let open = sentences(&told(&json!({"score": 250})), "web1", &names);
        assert_eq!(open[0], "instance web1 has no place on any node");
        assert_eq!(open[1], "it could be placed on node-0002 now, which would score 25.0 %");
    }
}
