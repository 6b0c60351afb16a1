//! How an instance begins on the node that was found for it a while ago: that node may not be what it was then.

use crate::{claims, fence::waiting, launch::elsewhere, states};
use cirro_models::{
    Error, Id, Result,
    compute::{
        Instance, Node,
        node::{NodeMode, NodeStatus, node_rows},
    },
    sql::{Column, GuidValue, Table},
};
use cirro_server::Tx;
use diesel::prelude::*;
use std::collections::{BTreeSet, HashMap};

/// How many nodes are read at once.
const NODES: usize = 1000;

/// The nodes that are not as they were, by id; all others are.
#[derive(Debug, Default)]
pub(super) struct Changed(HashMap<Id<Node>, Change>);

#[derive(Debug)]
enum Change {
    /// Instances wait for it like those that are there already: what they say. When many nodes fall silent, nothing moves.
    Waits(String),
    /// It takes no instances any more: why.
    Closed(String),
}

impl Changed {
    /// Looks at these nodes. To be called where nothing else is placed, so that none of them is taken over from meanwhile.
    pub(super) fn look(tx: &mut Tx<'_>, nodes: impl IntoIterator<Item = Id<Node>>) -> Result<Self> {
        let mut others: BTreeSet<Id<Node>> = nodes.into_iter().collect();
        for id in well(tx, &others)? {
            others.remove(&id);
        }
        let others: Vec<Id<Node>> = others.into_iter().collect();
        let mut found: HashMap<Id<Node>, Node> = HashMap::new();
        for some in others.chunks(NODES) {
            let nodes = Node::select(tx.connection(), some).map_err(Error::internal)?;
            found.extend(nodes.into_iter().map(|node| (node.id, node)));
        }
        let change = |id: &Id<Node>| Some((*id, change(found.get(id))?));
        Ok(Self(others.iter().filter_map(change).collect()))
    }
    /// Its node hears of an instance from now on. Where that takes none any more the instance looks for another one; then the claim
    /// must go, which this answers.
    pub(super) fn begin(&self, instance: &mut Instance, node: Id<Node>) -> Begun {
        let change = self.0.get(&node);
        if let Some(Change::Closed(why)) = change {
            elsewhere::look_elsewhere(instance, node, why);
            return Begun::Elsewhere;
        }
        instance.node_id = Some(node);
        instance.status_deadline = states::deadline(&instance.status);
        if let Some(Change::Waits(says)) = change {
            instance.status_reason = Some(says.clone());
        }
        Begun::There
    }
}

/// Where an instance has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// On its node.
    There,
    /// Nowhere yet.
    Elsewhere,
}

/// These instances have nothing on the nodes that were found for them.
pub(super) fn give_up(tx: &mut Tx<'_>, instances: impl IntoIterator<Item = Id<Instance>>) -> Result<()> {
    instances.into_iter().try_for_each(|instance| claims::remove(tx.connection(), instance))
}

/// Those of these nodes that are well, which are nearly all: so most need not be read whole.
fn well(tx: &mut Tx<'_>, nodes: &BTreeSet<Id<Node>>) -> Result<Vec<Id<Node>>> {
    let ids: Vec<GuidValue> = nodes.iter().map(Column::store).collect();
    let mut well = Vec::with_capacity(ids.len());
    for some in ids.chunks(NODES) {
        let found: Vec<GuidValue> = node_rows::table
            .filter(node_rows::id.eq_any(some))
            .filter(node_rows::mode.eq(NodeMode::Active.to_string()))
            .filter(node_rows::status.eq(NodeStatus::Ready.to_string()))
            .select(node_rows::id)
            .load(tx.connection())
            .map_err(Error::internal)?;
        well.extend(found.into_iter().map(|id| Id::from_uuid(id.0)));
    }
    Ok(well)
}

fn change(node: Option<&Node>) -> Option<Change> {
    let Some(node) = node else {
        return Some(Change::Closed("the node that was found for it is gone".to_owned()));
    };
    let closed = |why: &str| Some(Change::Closed(format!("node {} {why}", node.name)));
    match (&node.mode, &node.status) {
        (NodeMode::Drain, _) => closed("takes no new instances"),
        (NodeMode::Maintenance, _) => closed("is in maintenance"),
        (NodeMode::Gone, _) | (_, NodeStatus::Fencing | NodeStatus::Fenced) => closed("was lost"),
        (_, NodeStatus::Silent | NodeStatus::Stuck) => Some(Change::Waits(waiting::says(node))),
        _ => None,
    }
}
