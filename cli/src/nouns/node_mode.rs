//! `cirro node drain`, `maintenance`, `return` and `forget`: what may come to a node, and what is on it.

use crate::{
    failure::Failure,
    nouns::Noun,
    out, resolve,
    site::{Said, Site},
    verbs::{Key, show, update},
};
use cirro_models::{
    Name, Page, Verbs,
    compute::{
        Instance, Node,
        instance::InstanceFilter,
        node::{NodeMode, NodePatch},
    },
};
use clap::Args;

/// How many guests are named.
const NAMED: i64 = 20;

/// A node that is to be in another mode.
#[derive(Debug, Args)]
pub(crate) struct Turn {
    /// The node, by name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    #[command(flatten)]
    key: Key,
}

impl Turn {
    pub(crate) async fn run(self, site: &Site, mode: NodeMode) -> Result<(), Failure> {
        let id = resolve::id::<Node>(site, &self.which).await?;
        let patch = NodePatch { mode: Some(mode.clone()), ..NodePatch::default() };
        let said = update::<Node>(site, id, patch, &self.key).await?;
        if mode != NodeMode::Active {
            let filter = &InstanceFilter { node_id: Some(id), ..InstanceFilter::default() };
            let page = &Page::first(NAMED);
            let listed = site.call(None, |ctx| async move { Instance::list(&ctx, filter, page).await });
            let Said { value: guests, .. } = listed.await?;
            let names: Vec<_> = guests.items.iter().map(Noun::label).collect();
            out::note(&remaining(&said.value.label(), &names, guests.next.is_some(), &mode));
        }
        show(site, &said).await
    }
}

/// A node that is gone for ever.
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The node, by name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    /// The node's name once more: its machine is destroyed, or off for good, though no fence has seen that
    #[arg(long, value_name = "NAME")]
    destroyed: Option<Name>,
    #[command(flatten)]
    key: Key,
}

impl Forget {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<Node>(site, &self.which).await?;
        let patch = NodePatch { mode: Some(NodeMode::Gone), destroyed: self.destroyed, ..NodePatch::default() };
        let said = update::<Node>(site, id, patch, &self.key).await?;
        out::note(&format!(
            "Node {} is forgotten. What could be recreated goes elsewhere; `cirro instance list --status failed` shows the rest. \
             Volumes that lay there are lost with it: see `cirro pool list`. Should its machine come up again, keep it away from \
             this site until it has joined anew.",
            said.value.label()
        ));
        if site.is_json() { out::json(&said.json) } else { Ok(()) }
    }
}

/// What is still on it, and what to do about that.
fn remaining(node: &str, guests: &[String], more: bool, mode: &NodeMode) -> String {
    let then = match mode {
        NodeMode::Maintenance => "work on it, and",
        _ => "before you work on it, `cirro node maintenance` it; then",
    };
    if guests.is_empty() {
        return format!("Nothing is on node {node}, and nothing new comes: {then} `cirro node return` it.");
    }
    let others = if more { " and others" } else { "" };
    format!(
        "Nothing new comes to node {node}. Still on it: {}{others}. Instances do not move from node to node while they run: \
         delete those that you can launch anew elsewhere, and stop those that must stay with their disks; {then} \
         `cirro node return` it.",
        guests.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_and_told_what_to_do_about() {
        let said = remaining("n1", &["web1".to_owned(), "web2".to_owned()], true, &NodeMode::Drain);
        for words in ["web1, web2 and others", "do not move", "cirro node maintenance", "cirro node return"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(remaining("n1", &[], false, &NodeMode::Maintenance).starts_with("Nothing is on node n1"));
    }
}
