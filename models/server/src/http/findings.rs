//! `GET /<service>/v1/audit`: what has no owner among what a service holds. It changes nothing.

use crate::{
    audit::{self, Audit},
    http::{
        Caller, Failure,
        body::{pairs, pairs_to},
        openapi,
    },
    owner::Owner,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use cirro_models::{Error, Result, finding::Findings};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::{
    ToSchema,
    openapi::{HttpMethod, OpenApi, PathItem, response::ResponseBuilder},
};

/// Nothing can be asked for besides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(crate) fn routes(config: &mut ServiceConfig, owner: &Arc<Owner>) {
    if let Some(audit) = owner.audit {
        config.route("/audit", web::get().to(move |caller, request| serve(audit, caller, request)));
    }
}

async fn serve(audit: Audit, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        if !caller.subject().is_operator() {
            return Err(Error::forbidden("the audit is an operator's: ask one of the site"));
        }
        let Nothing {} = pairs_to(&pairs(request.query_string())?)?;
        tokio::time::timeout(caller.remaining()?, audit::run(audit, &caller)).await.unwrap_or_else(|_| {
            let detail = "the audit was not done in time: give it more time, or try again when less is going on";
            Err(Error::DeadlineExceeded { detail: detail.to_owned() })
        })
    };
    let found = work.await.map_err(|error| Failure::with_id(caller.request_id(), error))?;
    Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(found))
}

/// Adds the operation to the document.
pub(crate) fn describe(document: &mut OpenApi, owner: &Owner) {
    if owner.audit.is_none() {
        return;
    }
    openapi::add::<Findings>(document);
    let found = ResponseBuilder::new()
        .description("What was found twice in a row: nothing, where all is well")
        .content("application/json", openapi::json(openapi::reference(&Findings::name())));
    let summary = "What has no owner, and which books do not agree with what they count".to_owned();
    let get = openapi::operation("get_audit".to_owned(), "audit", summary).response("200", found);
    let path = format!("/{}/v1/audit", owner.service().name());
    document.paths.paths.insert(path, PathItem::new(HttpMethod::Get, get));
}
