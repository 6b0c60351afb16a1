//! What compute answers to node agents.

pub(crate) mod assignment;
pub(crate) mod report;

use actix_web::web::Path;
use cirro_models::{Context, Error, Id, Result, compute::Node};

/// The node of the path, if the caller is that node, or (to read) an operator.
fn own_node(ctx: &Context, path: &Path<String>, operator_may: bool) -> Result<Id<Node>> {
    let missing = || Error::not_found("node", path.chars().take(64).collect::<String>());
    let id: Id<Node> = path.parse().map_err(|_| missing())?;
    let subject = ctx.subject();
    if subject.node() == Some(id) || (operator_may && subject.is_operator()) { Ok(id) } else { Err(missing()) }
}
