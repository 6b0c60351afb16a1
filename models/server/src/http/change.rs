//! `GET /<service>/v1/change`: a long poll on the change feed of one model.

use crate::{
    http::{
        Caller, Failure,
        body::{pairs, pairs_to},
        openapi, still_known,
    },
    owner::Owner,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use cirro_models::{
    Error,
    feed::{Changes, Position},
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use utoipa::{
    ToSchema,
    openapi::{
        HttpMethod, ObjectBuilder, OpenApi, PathItem, Required,
        path::{ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
        schema::Type,
    },
};

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    model: String,
    #[serde(default)]
    after: Option<Position>,
    #[serde(default)]
    wait_ms: u64,
}

pub(crate) fn routes(config: &mut ServiceConfig, owner: &Arc<Owner>) {
    let owner = owner.clone();
    config.route("/change", web::get().to(move |caller, request| serve(owner.clone(), caller, request)));
}

async fn serve(owner: Arc<Owner>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        let asked: Asked = pairs_to(&pairs(request.query_string())?)?;
        let model = owner.models.iter().find(|model| model.path() == asked.model).ok_or_else(|| {
            let known: Vec<_> = owner.models.iter().map(|model| model.path()).collect();
            Error::invalid(
                "model",
                format!("{} owns no such model: give one of {}", owner.service().name(), known.join(", ")),
            )
        })?;
        let changes = model.watch(&caller, asked.after, Duration::from_millis(asked.wait_ms)).await?;
        still_known(&request).map(|()| changes)
    };
    let changes = work.await.map_err(|error| Failure::with_id(caller.request_id(), error))?;
    Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(changes))
}

/// Adds the operation to the document.
pub(crate) fn describe(document: &mut OpenApi, owner: &Owner) {
    openapi::add::<Changes>(document);
    let parameter = |name: &str, required, schema: ObjectBuilder| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(required)
            .schema(Some(schema))
            .build()
    };
    let models = owner.models.iter().map(|model| model.path()).collect::<Vec<_>>();
    let model = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(models));
    let after = ObjectBuilder::new().schema_type(Type::String);
    let wait = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let changes = openapi::json(openapi::reference(&Changes::name()));
    let answer = ResponseBuilder::new().description("What has changed").content("application/json", changes);
    let get = openapi::operation("list_change".to_owned(), "change", "Wait for changes to a model's rows".to_owned())
        .parameter(parameter("model", Required::True, model))
        .parameter(parameter("after", Required::False, after))
        .parameter(parameter("wait_ms", Required::False, wait))
        .response("200", answer);
    let path = format!("/{}/v1/change", owner.service().name());
    document.paths.paths.insert(path, PathItem::new(HttpMethod::Get, get));
}
