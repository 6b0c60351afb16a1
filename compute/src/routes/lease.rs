//! `GET /compute/v1/nodelease/{node}?watchdog_s=30`: a node's watchdog asks whether the guests there may go on. It is a read, so it
//! is answered however many changes are under way.
//!
//! What is promised: who takes over from the node waits for longer than `watchdog_s` *after* it was marked as being fenced, and from
//! that mark on this answers no. A yes was read before the mark, and its question was asked even earlier, so the time that it
//! gives has passed by then.

use crate::{
    presence::Presence,
    routes::{add_path, own_node},
};
use actix_web::{HttpRequest, HttpResponse, web};
use cirro_models::{
    Error, Result,
    compute::{Node, node::NodeStatus},
    sql::Table,
};
use cirro_server::{
    OwnerContext,
    http::{Caller, Failure, operation, still_known},
};
use serde::Deserialize;
use utoipa::openapi::{
    HttpMethod, ObjectBuilder, OpenApi, PathItem, Required,
    path::{ParameterBuilder, ParameterIn},
    response::ResponseBuilder,
    schema::Type,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    watchdog_s: i64,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/nodelease/{node}", web::get().to(lease));
}

async fn lease(caller: Caller, path: web::Path<String>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        let node = own_node(&caller, &path, false)?;
        let asked: Asked = serde_urlencoded::from_str(request.query_string())
            .map_err(|error| Error::invalid("query", error.to_string()))?;
        caller.stores().part::<Presence>()?.heard(node);
        still_known(&request)?;
        let found = caller.database()?.read(move |c| Node::select(c, &[node]).map_err(Error::internal)).await?;
        let row = found.into_iter().next().ok_or_else(|| Error::not_found("node", node.to_string()))?;
        may_go_on(&row, asked.watchdog_s)?;
        Ok(HttpResponse::NoContent().insert_header(("x-request-id", caller.request_id())).finish())
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

fn may_go_on(node: &Node, watchdog_s: i64) -> Result<()> {
    if node.status == NodeStatus::Fencing {
        return Err(Error::unavailable(
            "this node was silent or stuck for too long and is being fenced: its guests have to be stopped",
        ));
    }
    // whoever takes over waits for as long as the row says
    match node.watchdog_s {
        Some(known) if (1..=known).contains(&watchdog_s) => Ok(()),
        known => {
            let known = known.map_or("no watchdog".to_owned(), |known| format!("a watchdog that takes {known} s"));
            let what = format!("node {} has told of {known}, not of one that takes {watchdog_s} s", node.name);
            Err(Error::conflict(format!("{what}: it has to report that first")))
        }
    }
}

pub(crate) fn describe(document: &mut OpenApi) {
    let said = "Whether the guests may go on (for the node's watchdog)".to_owned();
    let seconds = ParameterBuilder::new()
        .name("watchdog_s")
        .parameter_in(ParameterIn::Query)
        .required(Required::True)
        .description(Some("For how many seconds they would, from the moment at which this was asked"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::Integer).build()));
    let get = operation("get_nodelease".to_owned(), "node", said).parameter(seconds);
    let may = ResponseBuilder::new().description("They may");
    let item = PathItem::new(HttpMethod::Get, get.response("204", may));
    add_path(document, "/compute/v1/nodelease/{node}", "node", item);
}
