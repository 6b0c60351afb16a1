//! What storage answers to node agents.

pub(crate) mod assignment;
pub(crate) mod report;

use crate::reported::OfNode;
use actix_web::web::Path;
use cirro_models::{
    Context, Error, Id, Reach, Result,
    compute::Node,
    sql::{AnyConnection, Table},
    storage::{Attachment, Volume, attachment::AttachmentFilter, volume::VolumeFilter},
};
use cirro_server::{
    db::database_error,
    http::openapi::{add, json, reference},
};
use utoipa::{
    ToSchema,
    openapi::{
        Content, ObjectBuilder, OpenApi, PathItem, RefOr, Required,
        path::{ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

/// More volumes than one node ever holds.
const MANY: i64 = 100_000;

/// The node of the path, if the caller is that node, or (to read) an operator. For all others it does not exist.
fn own_node(ctx: &Context, path: &Path<String>, operator_may: bool) -> Result<Id<Node>> {
    let missing = || Error::not_found("node", path.chars().take(64).collect::<String>());
    let id: Id<Node> = path.parse().map_err(|_| missing())?;
    let subject = ctx.subject();
    if subject.node() == Some(id) || (operator_may && subject.is_operator()) { Ok(id) } else { Err(missing()) }
}

/// The rows that name this node, and no others: whatever a node says, the statement itself keeps it to these.
fn of_node(c: &mut AnyConnection, node: Id<Node>) -> Result<OfNode> {
    let reach = Reach::Node(node.uuid());
    let volumes = Volume::page(c, &VolumeFilter::default(), &reach, None, MANY).map_err(database_error)?;
    let attachments = Attachment::page(c, &AttachmentFilter::default(), &reach, None, MANY).map_err(database_error)?;
    Ok(OfNode {
        volumes: volumes.into_iter().map(|row| (row.id, row)).collect(),
        attachments: attachments.into_iter().map(|row| (row.id, row)).collect(),
    })
}

/// Adds a path of a node, whose body or answer is a `T`.
fn describe_path<T: ToSchema>(document: &mut OpenApi, path: &str, item: impl FnOnce(Content) -> PathItem) {
    add::<T>(document);
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let node = ParameterBuilder::new().name("node").parameter_in(ParameterIn::Path).required(Required::True);
    let mut item = item(json(reference(&T::name())));
    item.parameters = Some(vec![RefOr::T(node.schema(Some(text)).build())]);
    document.paths.paths.insert(path.to_owned(), item);
}
