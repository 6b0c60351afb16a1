//! Errors as `application/problem+json`, logged once on the way out.

use crate::http::Asked;
use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use cirro_models::{
    Error,
    problem::{PROBLEM_JSON, Problem},
};
use std::fmt;

/// An error on its way to the caller, with the request that it ends.
#[derive(Debug)]
pub struct Failure {
    error: Error,
    request_id: String,
    status: Option<StatusCode>,
    detail: Option<String>,
}

impl Failure {
    /// The answer to a request that failed.
    pub fn of(request: &HttpRequest, error: Error) -> Self {
        Self::with_id(&Asked::of(request).request_id, error)
    }
    /// The same for a request whose id is known.
    pub fn with_id(request_id: impl Into<String>, error: Error) -> Self {
        let request_id = request_id.into();
        if let Error::Internal { source } = &error {
            tracing::error!(error = source.as_ref() as &dyn std::error::Error, request_id, "a request failed");
        }
        Self { error, request_id, status: None, detail: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        let status = Problem::from(&self.error).status;
        self.status.unwrap_or_else(|| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }
    fn error_response(&self) -> HttpResponse {
        let mut problem = Problem::from(&self.error);
        problem.request_id = Some(self.request_id.clone());
        let mut response = HttpResponse::build(self.status_code());
        problem.status = self.status_code().as_u16();
        if let Some(detail) = &self.detail {
            problem.detail.clone_from(detail);
        }
        response.content_type(PROBLEM_JSON).insert_header(("x-request-id", self.request_id.as_str()));
        if let Some(seconds) = problem.retry_after_s {
            response.insert_header(("retry-after", seconds));
        }
        if problem.status == 401 {
            response.insert_header(("www-authenticate", "Bearer"));
        }
        response.json_body(&problem)
    }
}

trait JsonBody {
    fn json_body(&mut self, problem: &Problem) -> HttpResponse;
}
impl JsonBody for actix_web::HttpResponseBuilder {
    /// `json()` would set the content type back to plain JSON.
    fn json_body(&mut self, problem: &Problem) -> HttpResponse {
        self.body(serde_json::to_vec(problem).unwrap_or_default())
    }
}

/// The answer to a path or method that does not exist.
pub async fn no_such_route(request: HttpRequest) -> HttpResponse {
    // a path that exists for another method
    let known = request.resource_map().has_resource(request.path());
    no_such_operation(&request, known).error_response()
}

/// The answer to a path that exists for others than who asks.
pub fn nothing_here(request: &HttpRequest) -> HttpResponse {
    no_such_operation(request, false).error_response()
}

/// The answer to a method that a path does not have; `allow` are those that it has.
#[allow(clippy::unused_async, reason = "a handler")]
pub(crate) async fn wrong_method(request: HttpRequest, allow: &'static str) -> HttpResponse {
    let mut response = no_such_operation(&request, true).error_response();
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
    response
}

fn no_such_operation(request: &HttpRequest, known: bool) -> Failure {
    let operation = format!("{} {}", request.method(), request.path());
    let mut failure = Failure::of(request, Error::not_found("operation", &operation));
    failure.detail = Some(format!("{operation} is no operation of this API: see /docs"));
    failure.status = known.then_some(StatusCode::METHOD_NOT_ALLOWED);
    failure
}
