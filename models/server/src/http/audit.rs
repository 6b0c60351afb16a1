//! `GET /<service>/v1/auditrecord`: what was done to what a service owns. There is no other method: nobody writes it.

use crate::{
    db,
    http::{Caller, Failure, body::query, openapi},
    owner::Owner,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use cirro_models::{
    Error, Id, Page, Timestamp,
    audit::{AuditFilter, AuditRecord},
    identity::Project,
};
use std::sync::Arc;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        HttpMethod, ObjectBuilder, OpenApi, PathItem, RefOr, Required, Schema,
        path::{ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
        schema::{ArrayBuilder, Type},
    },
};

pub(crate) fn routes(config: &mut ServiceConfig, owner: &Arc<Owner>) {
    let owner = owner.clone();
    config.route("/auditrecord", web::get().to(move |caller, request| serve(owner.clone(), caller, request)));
}

async fn serve(owner: Arc<Owner>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        if !caller.subject().is_operator() {
            return Err(Error::forbidden("the audit is an operator's: ask one of the site"));
        }
        let (filter, page): (AuditFilter, Page) = query(request.query_string())?;
        let listing = db::audit(owner.database(), caller.subject(), filter, &page);
        tokio::time::timeout(caller.remaining()?, listing).await.unwrap_or_else(|_| {
            Err(Error::DeadlineExceeded { detail: "the list was not read in time: ask for less of it".to_owned() })
        })
    };
    let listing = work.await.map_err(|error| Failure::with_id(caller.request_id(), error))?;
    Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(listing))
}

/// Adds the operation to the document.
pub(crate) fn describe(document: &mut OpenApi, owner: &Owner) {
    openapi::add::<AuditRecord>(document);
    let text = || RefOr::T(Schema::from(ObjectBuilder::new().schema_type(Type::String)));
    let limit = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(Page::MAX));
    let parameters = [
        ("since", Timestamp::schema()),
        ("until", Timestamp::schema()),
        ("principal", text()),
        ("project_id", <Id<Project> as PartialSchema>::schema()),
        ("model", text()),
        ("subject_id", <Id<Project> as PartialSchema>::schema()),
        ("limit", RefOr::T(limit.into())),
        ("after", text()),
    ];
    let items = ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(openapi::reference(&AuditRecord::name())))
        .required("items")
        .property("next", ObjectBuilder::new().schema_type(Type::String));
    let page = ResponseBuilder::new()
        .description("One page, oldest first; nothing will appear in it later")
        .content("application/json", openapi::json(items.into()));
    let list =
        openapi::operation("list_auditrecord".to_owned(), "auditrecord", "What was done, and by whom".to_owned());
    let list = parameters.into_iter().fold(list.response("200", page), |list, (name, schema)| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
        list.parameter(parameter.required(Required::False).schema(Some(schema)).build())
    });
    let path = format!("/{}/v1/auditrecord", owner.service().name());
    document.paths.paths.insert(path, PathItem::new(HttpMethod::Get, list));
}
