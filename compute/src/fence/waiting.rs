//! What instances say that wait for a node which is silent or stuck.

use cirro_models::{
    Result,
    compute::{
        Instance, Node,
        instance::{InstanceFilter, InstanceStatus},
    },
};
use cirro_server::Tx;

/// More than one node ever holds.
const MANY: i64 = 100_000;

fn begin(node: &Node) -> String {
    format!("it waits for node {}, which ", node.name)
}

/// The sentence, if there is something to wait for.
pub(crate) fn sentence(node: &Node) -> Option<String> {
    let stuck = node.stuck.as_ref()?;
    Some(format!("{}has not finished {stuck}", begin(node)))
}

/// What an instance says that is on its way to this node, which is silent or stuck.
pub(crate) fn says(node: &Node) -> String {
    sentence(node).unwrap_or_else(|| format!("{}does not report", begin(node)))
}

/// Whether an instance in this state is on its way.
pub(crate) fn is_on_its_way(status: &InstanceStatus) -> bool {
    use InstanceStatus::{Building, Pending, Starting};
    matches!(status, Pending | Building | Starting)
}

/// Whoever looks at an instance that is on its way to this node learns what it waits for.
pub(crate) fn say(tx: &mut Tx<'_>, node: &Node) -> Result<()> {
    let sentence = says(node);
    for row in on_the_way(tx, node)? {
        tx.change_from(&row, |row| row.status_reason = Some(sentence.clone()))?;
    }
    Ok(())
}

/// The node is well: nothing waits for it any more.
pub(crate) fn unsay(tx: &mut Tx<'_>, node: &Node) -> Result<()> {
    let begin = begin(node);
    let waited = |row: &Instance| row.status_reason.as_ref().is_some_and(|reason| reason.starts_with(&begin));
    for row in on_the_way(tx, node)?.into_iter().filter(waited) {
        tx.change_from(&row, |row| row.status_reason = None)?;
    }
    Ok(())
}

fn on_the_way(tx: &mut Tx<'_>, node: &Node) -> Result<Vec<Instance>> {
    let here = InstanceFilter { node_id: Some(node.id), ..InstanceFilter::default() };
    let mut rows: Vec<Instance> = tx.list(&here, MANY)?;
    rows.retain(|row| is_on_its_way(&row.status));
    Ok(rows)
}
