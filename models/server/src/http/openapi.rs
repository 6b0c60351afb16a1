//! The OpenAPI document, made from the models.

use crate::owner::Owner;
use actix_web::{HttpResponse, web::Bytes};
use cirro_models::{
    Id, Model,
    page::Page,
    permission::Right,
    problem::{PROBLEM_JSON, Problem},
    sql::Table,
};
use std::sync::{Arc, OnceLock};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, ContentBuilder, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, PathItem,
        Ref, RefOr, Required, Schema,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        response::ResponseBuilder,
        schema::{AllOfBuilder, ArrayBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// What goes into `Authorization: Bearer`.
const BEARER: &str = "A token from POST /identity/v1/token, or the secret of an API key (`cirro_key_…`) as it is.";

/// A service's document, made when somebody first asks for it: few do, and making it takes megabytes.
pub(crate) struct Document {
    owner: Arc<Owner>,
    made: OnceLock<Bytes>,
}

impl Document {
    pub(crate) fn of(owner: Arc<Owner>) -> Self {
        Self { owner, made: OnceLock::new() }
    }
    fn bytes(&self) -> Bytes {
        let make = || serde_json::to_vec(&document(&self.owner)).unwrap_or_default().into();
        self.made.get_or_init(make).clone()
    }
}

#[allow(clippy::unused_async, reason = "a handler")]
pub(crate) async fn serve(document: Arc<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.bytes())
}

/// The document of a service.
pub fn document(owner: &Owner) -> OpenApi {
    let name = owner.service().name();
    let info = InfoBuilder::new().title(format!("Cirro {name}")).version("1").description(Some(
        "Errors are application/problem+json (RFC 9457). Every mutating call takes an Idempotency-Key: one key, one effect.",
    ));
    let mut document = OpenApiBuilder::new().info(info.build()).build();
    let components = document.components.get_or_insert_with(Components::new);
    let bearer = SecurityScheme::Http(
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(BEARER)).build(),
    );
    components.add_security_scheme("token", bearer);
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    add::<Problem>(&mut document);
    owner.models.iter().for_each(|model| model.describe(&mut document));
    super::change::describe(&mut document, owner);
    super::events::describe(&mut document, owner);
    super::audit::describe(&mut document, owner);
    super::findings::describe(&mut document, owner);
    super::job::describe(&mut document, owner);
    super::quota::describe(&mut document, owner);
    owner.describes.iter().for_each(|describe| describe(&mut document));
    document
}

/// Adds a schema, and those that it names.
pub fn add<T: ToSchema>(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::new);
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    components.schemas.extend(schemas);
}

/// A schema of the document, by its name.
pub fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

/// Content of a body, by its schema.
pub fn json(schema: RefOr<Schema>) -> Content {
    ContentBuilder::new().schema(Some(schema)).build()
}

fn problem(description: &str) -> utoipa::openapi::Response {
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, json(reference("Problem"))).build()
}

/// An operation with the answers that every operation may give.
pub fn operation(id: String, tag: &str, summary: String) -> OperationBuilder {
    let mut operation = OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary));
    for (status, text) in [
        ("400", "It can't be read"),
        ("401", "Who asks is not known"),
        ("403", "Not allowed"),
        ("404", "Not found, or not yours to know"),
        ("405", "No such operation"),
        ("409", "Conflict, quota or capacity"),
        ("412", "Changed meanwhile"),
        ("413", "Too large"),
        ("422", "A value can't be used"),
        ("429", "Too many requests"),
        ("503", "Unavailable: try again"),
        ("504", "Not finished in time"),
    ] {
        operation = operation.response(status, problem(text));
    }
    operation
}

/// The parameter `{id}` of a path.
pub fn path_id<M: Model>() -> Parameter {
    let builder = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
    builder.schema(Some(<Id<M> as PartialSchema>::schema())).build()
}

/// An optional header of a request.
pub fn header(name: &str, description: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(255)).build();
    let builder = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
    builder.description(Some(description)).schema(Some(text)).build()
}

/// The properties of a filter as query parameters.
fn filters<M: Table>() -> Vec<Parameter> {
    let RefOr::T(Schema::Object(filter)) = M::Filter::schema() else { return Vec::new() };
    let number =
        |max| ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(max)).build().into();
    let text = ObjectBuilder::new().schema_type(Type::String).build().into();
    let paging = [("limit".to_owned(), number(Page::MAX)), ("after".to_owned(), text)];
    filter
        .properties
        .into_iter()
        .chain(paging)
        .map(|(name, schema)| {
            ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).schema(Some(schema)).build()
        })
        .collect()
}

/// An answer that is one row.
pub fn row<M: Model>(description: &str) -> utoipa::openapi::Response {
    ResponseBuilder::new().description(description).content("application/json", json(reference(&M::name()))).build()
}

/// The answer to a creation: the row, and what is told this one time.
fn created<M: Model>() -> utoipa::openapi::Response {
    let text = "Created; it may still be on its way";
    if M::ONCE.is_empty() {
        return row::<M>(text);
    }
    let secret = || ObjectBuilder::new().schema_type(Type::String).description(Some("Told this one time"));
    let once =
        M::ONCE.iter().fold(ObjectBuilder::new(), |once, field| once.property(*field, secret()).required(*field));
    let both = AllOfBuilder::new().item(reference(&M::name())).item(once);
    ResponseBuilder::new().description(text).content("application/json", json(both.into())).build()
}

fn body(name: &str) -> utoipa::openapi::request_body::RequestBody {
    RequestBodyBuilder::new().content("application/json", json(reference(name))).required(Some(Required::True)).build()
}

/// Adds the operations of a model, those that nobody may call left out.
pub(crate) fn describe<M: Table>(document: &mut OpenApi) {
    add::<M>(document);
    add::<M::New>(document);
    add::<M::Patch>(document);
    let (path, service) = (M::PATH, M::SERVICE.name());
    let key = || header("Idempotency-Key", "One key, one effect: a repetition gets the first answer");
    let op = |verb: &str, summary: &str| operation(format!("{verb}_{path}"), path, format!("{summary} {path}"));
    let items = ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(reference(&M::name())))
        .required("items")
        .property("next", ObjectBuilder::new().schema_type(Type::String));
    let page = ResponseBuilder::new().description("One page").content("application/json", json(items.into()));
    let list = filters::<M>().into_iter().fold(op("list", "List").response("200", page), OperationBuilder::parameter);
    let mut root = PathItem::new(HttpMethod::Get, list);
    if M::RIGHTS.create != Right::Nobody {
        let status = if M::ACCEPTED { "202" } else { "201" };
        let create = op("create", "Create a").parameter(key()).request_body(Some(body(&M::New::name())));
        root.post = Some(create.response(status, created::<M>()).build());
    }
    let mut item = PathItem::new(
        HttpMethod::Get,
        op("get", "Get a")
            .parameter(path_id::<M>())
            .response("200", row::<M>("It"))
            .response("304", ResponseBuilder::new().description("Not changed")),
    );
    if M::RIGHTS.update != Right::Nobody {
        let change = |verb: &str, summary: &str, sent: &str| -> Operation {
            let operation = op(verb, summary)
                .parameter(path_id::<M>())
                .parameter(key())
                .parameter(header("If-Match", "The ETag that was read"));
            operation.request_body(Some(body(sent))).response("200", row::<M>("As it is now")).build()
        };
        item.patch = Some(change("update", "Change a", &M::Patch::name()));
        item.put = Some(change("save", "Put a whole", &M::name()));
    }
    if M::RIGHTS.delete != Right::Nobody {
        let delete = op("delete", "Delete a").parameter(path_id::<M>()).parameter(key());
        item.delete = Some(
            delete
                .response("204", ResponseBuilder::new().description("Gone"))
                .response("202", row::<M>("Being removed"))
                .build(),
        );
    }
    let ids = ObjectBuilder::new()
        .property("ids", ArrayBuilder::new().items(<Id<M> as PartialSchema>::schema()).max_items(Some(1000)))
        .required("ids");
    let both = ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(reference(&M::name())))
        .required("items")
        .property("missing", ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::String)))
        .required("missing");
    let asked =
        RequestBodyBuilder::new().content("application/json", json(ids.into())).required(Some(Required::True)).build();
    let found = ResponseBuilder::new().description("What was found").content("application/json", json(both.into()));
    let batch =
        PathItem::new(HttpMethod::Post, op("batch", "Get many of").request_body(Some(asked)).response("200", found));
    document.paths.paths.insert(format!("/{service}/v1/{path}"), root);
    document.paths.paths.insert(format!("/{service}/v1/{path}/batch"), batch);
    document.paths.paths.insert(format!("/{service}/v1/{path}/{{id}}"), item);
}
