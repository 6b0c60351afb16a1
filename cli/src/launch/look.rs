//! What a plan does, or would do, for people: how many where, what it takes, and what is short.

use crate::{
    failure::Failure,
    names::Names,
    nouns::Noun,
    out, quantity,
    site::{Said, Site},
    table,
};
use cirro_models::{
    Error, Model,
    compute::{LaunchPlan, Node, placement::Outlook},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The most nodes that get a row.
const NODES: usize = 20;

/// Prints the plan's outlook.
pub(super) async fn tell(site: &Site, said: &Said<LaunchPlan>) -> Result<(), Failure> {
    if site.is_json() {
        return out::json(&said.json);
    }
    let plan = &said.value;
    let outlook = plan.outlook.clone().unwrap_or_default();
    out::text(&table::pairs(overview(plan, &outlook)))?;
    let by_node = by_node(&outlook);
    if by_node.is_empty() {
        return Ok(());
    }
    let shown = &by_node[..by_node.len().min(NODES)];
    let ids = shown.iter().map(|(id, _)| (Node::SERVICE, Node::PATH, *id));
    let names = Names::of_ids(site, ids).await;
    let rows = shown.iter().map(|(id, count)| vec![names.name(*id), count.to_string()]);
    out::text(&table::plain(Some(vec!["NODE", "INSTANCES"]), rows))?;
    if by_node.len() > NODES {
        out::note(&format!("and {} more nodes: see all with -o json", by_node.len() - NODES));
    }
    let listed = i64::try_from(outlook.places.len()).unwrap_or(i64::MAX);
    if listed < outlook.placed {
        out::note(&format!("the nodes are counted over the first {listed} of {} instances", outlook.placed));
    }
    Ok(())
}

/// What it takes, in words.
fn overview(plan: &LaunchPlan, outlook: &Outlook) -> Vec<(String, String)> {
    let quota: Vec<String> = outlook.quota.iter().map(|(what, much)| format!("{much} {what}")).collect();
    let mut rows = vec![
        ("plan".to_owned(), plan.label()),
        ("placed".to_owned(), format!("{} of {} on {} nodes", outlook.placed, plan.count(), outlook.nodes)),
        ("quota".to_owned(), quota.join(", ")),
        ("free room".to_owned(), format!("{} of what is free", percent(outlook.of_free))),
        ("images".to_owned(), format!("up to {} for nodes to fetch", quantity::bytes(outlook.image_bytes.get()))),
    ];
    rows.extend(outlook.short.iter().map(|short| {
        (format!("short of {}", short.group), format!("{} have no place: {}", short.count, short.detail))
    }));
    rows
}

/// How many go to each node, most first.
fn by_node(outlook: &Outlook) -> Vec<(Uuid, i64)> {
    let mut counts: BTreeMap<Uuid, i64> = BTreeMap::new();
    for place in &outlook.places {
        *counts.entry(place.node_id.uuid()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(id, count)| (-count, *id));
    counts
}

/// Thousandths, as people read them.
pub(crate) fn percent(thousandths: i64) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    format!("{sign}{}.{} %", thousandths.abs() / 1000 * 100 + thousandths.abs() % 1000 / 10, thousandths.abs() % 10)
}

/// What is short, in a sentence.
pub(super) fn sentence(plan: &LaunchPlan) -> Option<String> {
    let short = &plan.outlook.as_ref()?.short;
    let parts: Vec<_> =
        short.iter().map(|short| format!("{} of {}: {}", short.count, short.group, short.detail)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Why not all of it has a place.
pub(super) fn refusal(plan: &LaunchPlan) -> Option<Failure> {
    let reasons = plan.outlook.iter().flat_map(|outlook| &outlook.short);
    let reasons = reasons.flat_map(|short| short.reasons.clone()).collect();
    let detail = format!("plan {} does not fit whole: {}", plan.name, sentence(plan)?);
    Some(Error::NoCapacity { detail, reasons }.into())
}
