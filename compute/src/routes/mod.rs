//! What compute answers besides its models: to node agents, how much more fits, and why not there.

pub(crate) mod assignment;
pub(crate) mod capacity;
pub(crate) mod heartbeat;
pub(crate) mod lease;
pub(crate) mod report;
pub(crate) mod why_not;

use actix_web::web::Path;
use cirro_models::{Context, Error, Id, Result, compute::Node};
use utoipa::{
    ToSchema,
    openapi::{
        Content, ContentBuilder, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Required,
        path::{ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

/// The node of the path, if the caller is that node, or (to read) an operator.
fn own_node(ctx: &Context, path: &Path<String>, operator_may: bool) -> Result<Id<Node>> {
    let missing = || Error::not_found("node", path.chars().take(64).collect::<String>());
    let id: Id<Node> = path.parse().map_err(|_| missing())?;
    let subject = ctx.subject();
    if subject.node() == Some(id) || (operator_may && subject.is_operator()) { Ok(id) } else { Err(missing()) }
}

/// Adds a path with one parameter to the document, and the schema of what is spoken there.
fn describe_path<T: ToSchema>(
    document: &mut OpenApi,
    path: &str,
    parameter: &str,
    item: impl FnOnce(Content) -> PathItem,
) {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    document.components.get_or_insert_with(Default::default).schemas.extend(schemas);
    let schema = Some(RefOr::Ref(Ref::from_schema_name(T::name())));
    add_path(document, path, parameter, item(ContentBuilder::new().schema(schema).build()));
}

/// Adds a path with one parameter to the document.
fn add_path(document: &mut OpenApi, path: &str, parameter: &str, mut item: PathItem) {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let parameter = ParameterBuilder::new()
        .name(parameter)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(text));
    item.parameters = Some(vec![RefOr::T(parameter.build())]);
    document.paths.paths.insert(path.to_owned(), item);
}
