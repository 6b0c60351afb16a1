//! `POST /compute/v1/nodeheartbeat/{node}`: a request whose body is sent as its agent lives, a piece with each heartbeat. A
//! piece costs a small part of what a request does, and ten thousand nodes send a thousand of them each second.

use crate::{
    presence::Presence,
    routes::{add_path, own_node},
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Bytes, Payload},
};
use cirro_models::{Error, Result};
use cirro_server::http::{Caller, Failure, operation, still_known};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, OpenApi, PathItem, request_body::RequestBodyBuilder, response::ResponseBuilder,
};

/// The longest that one request is listened to: then another process may be nearer.
const LONGEST: Duration = Duration::from_mins(6);
/// A piece says nothing, so it is short.
const PIECE: usize = 64;

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/nodeheartbeat/{node}", web::post().to(heartbeats));
}

async fn heartbeats(
    caller: Caller,
    path: web::Path<String>,
    request: HttpRequest,
    mut pieces: Payload,
) -> Result<HttpResponse, Failure> {
    let work = async {
        let node = own_node(&caller, &path, false)?;
        let presence = caller.stores().part::<Presence>()?;
        let until = Instant::now() + LONGEST;
        presence.heard(node);
        // it ends by itself, with the time, or because its sender is gone, who hears no answer
        while let Ok(Some(Ok(piece))) = timeout_at(until, pieces.next()).await {
            short(&piece)?;
            still_known(&request)?;
            presence.heard(node);
        }
        Ok(HttpResponse::NoContent().insert_header(("x-request-id", caller.request_id())).finish())
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

fn short(piece: &Bytes) -> Result<()> {
    let long = || Error::invalid("body", format!("a heartbeat has at most {PIECE} bytes, which say nothing"));
    if piece.len() > PIECE { Err(long()) } else { Ok(()) }
}

pub(crate) fn describe(document: &mut OpenApi) {
    let content = ContentBuilder::new().build();
    let body = RequestBodyBuilder::new()
        .description(Some("Any short piece with each heartbeat, for up to six minutes"))
        .content("application/octet-stream", content)
        .build();
    let said = "Its agent lives, for as long as the body goes on (for its agent)".to_owned();
    let post = operation("create_nodeheartbeat".to_owned(), "node", said);
    let heard = ResponseBuilder::new().description("The body, or its time, has ended");
    let post = post.request_body(Some(body)).response("204", heard);
    add_path(document, "/compute/v1/nodeheartbeat/{node}", "node", PathItem::new(HttpMethod::Post, post));
}
