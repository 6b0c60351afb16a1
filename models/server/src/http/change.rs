//! `GET /<service>/v1/change`: a long poll on the change feed of one model.

use crate::{
    http::{
        Caller, Failure,
        body::{pairs, pairs_to},
    },
    owner::Owner,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use cirro_models::{Error, feed::Position};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

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
        model.watch(&caller, asked.after, Duration::from_millis(asked.wait_ms)).await
    };
    let changes = work.await.map_err(|error| Failure::with_id(caller.request_id(), error))?;
    Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(changes))
}
