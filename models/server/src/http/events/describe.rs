//! The socket in the OpenAPI document, as far as that has words for it.

use crate::{http::openapi, owner::Owner};
use cirro_models::events::{Ending, Event};
use utoipa::openapi::{
    HttpMethod, ObjectBuilder, OpenApi, PathItem, Required,
    path::{ParameterBuilder, ParameterIn},
    response::ResponseBuilder,
    schema::{ArrayBuilder, Type},
};

/// Adds the operation to the document.
pub(crate) fn describe(document: &mut OpenApi, owner: &Owner) {
    openapi::add::<Event>(document);
    let models = owner.models.iter().map(|model| model.path()).collect::<Vec<_>>();
    let model = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(models));
    let parameter = |name: &str, description: &str| {
        let builder = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
        builder.description(Some(description))
    };
    let which = parameter("model", "Only these models' rows").schema(Some(ArrayBuilder::new().items(model)));
    let after = parameter("after", "What happened after this position; without it, what happens from now on");
    let after = after.schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    let endings = Ending::ALL.map(|ending| format!("{}: {}", ending.code(), ending.reason())).join("; ");
    let text = format!(
        "A WebSocket (RFC 6455). Each text message is an Event as JSON. The token is sent in the Authorization header; a \
         foreign Origin is refused. The service ends it with one of these codes: {endings}."
    );
    let upgraded = ResponseBuilder::new().description("The socket; see the schema Event for what it tells");
    let gone = ResponseBuilder::new()
        .description("The position is too old: list again")
        .content(cirro_models::problem::PROBLEM_JSON, openapi::json(openapi::reference("Problem")));
    let get = openapi::operation("follow_events".to_owned(), "events", "Follow what changes".to_owned())
        .description(Some(text))
        .parameter(which)
        .parameter(after)
        .response("101", upgraded)
        .response("410", gone);
    let path = format!("/{}/v1/events", owner.service().name());
    document.paths.paths.insert(path, PathItem::new(HttpMethod::Get, get));
}
