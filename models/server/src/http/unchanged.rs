//! Long polls that have nothing new to tell: who has said what it holds (`If-None-Match`, RFC 9110, 13.1.2) is told 304
//! instead of the same again. Ten thousand idle nodes then cost no read of the database.

use crate::http::Caller;
use actix_web::{HttpRequest, HttpResponse, http::header::IF_NONE_MATCH};
use serde::Serialize;
use utoipa::openapi::{
    ObjectBuilder, Required, ResponseBuilder,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    schema::Type,
};

/// Whether the caller would rather be told that nothing is new since this revision than be given it again.
pub fn may_be_unchanged(request: &HttpRequest, since: Option<&str>) -> bool {
    let held = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let held = held.and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
    held.is_some() && held == since
}

/// What there is, or that there is nothing new.
pub fn polled(caller: &Caller, answer: Option<impl Serialize>) -> HttpResponse {
    let id = ("x-request-id", caller.request_id());
    match answer {
        Some(answer) => HttpResponse::Ok().insert_header(id).json(answer),
        None => HttpResponse::NotModified().insert_header(id).finish(),
    }
}

/// An operation whose caller may say what it holds.
pub fn pollable(operation: OperationBuilder) -> OperationBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let held =
        ParameterBuilder::new().name("If-None-Match").parameter_in(ParameterIn::Header).required(Required::False);
    let held = held.description(Some("The revision that the caller has, in quotes, the same as `since`"));
    let nothing = ResponseBuilder::new().description("Nothing is new since the revision that `If-None-Match` says");
    operation.parameter(held.schema(Some(text.build()))).response("304", nothing)
}
