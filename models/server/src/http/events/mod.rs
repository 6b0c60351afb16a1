//! `GET /<service>/v1/events`: a WebSocket (RFC 6455) that tells what changes, as it changes.
//!
//! It reads the change feed by position, so a reader that comes back with the last one misses nothing and sees nothing
//! twice. What may be told is asked anew for each delivery.

mod describe;
mod socket;

pub(crate) use describe::describe;

use crate::{
    http::{
        Caller, Failure, Shared,
        body::{pairs, pairs_to},
    },
    owner::{OwnedModel, Owner},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Uri, header, uri::Authority},
    web::{self, Data, Payload, ServiceConfig},
};
use cirro_models::{Error, Result, feed::Position};
use serde::Deserialize;
use socket::Socket;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// What a process accepts of sockets.
#[derive(Debug, Clone)]
pub struct Sockets {
    /// How many are open at once, for each service; who comes later is asked to come again.
    pub at_once: usize,
    /// How long a reader may leave a message in the way of the next.
    pub patience: Duration,
    /// How often a quiet socket says something. A reader that has not answered three times is gone.
    pub heartbeat: Duration,
}

impl Default for Sockets {
    /// 256, each with one read of the database in half a second; heartbeats below the minute after which proxies hang up.
    fn default() -> Self {
        Self { at_once: 256, patience: Duration::from_secs(10), heartbeat: Duration::from_secs(15) }
    }
}

/// Seconds after which a client that met [`Sockets::at_once`] may try again.
const COME_AGAIN_S: u32 = 10;

/// The sockets of a service in this process.
pub(crate) struct Room {
    limits: Sockets,
    permits: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new(limits: Sockets) -> Self {
        Self { permits: Arc::new(Semaphore::new(limits.at_once)), limits }
    }
}

/// The query, besides `model`, which may be there several times.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    after: Option<Position>,
}

pub(crate) fn routes(config: &mut ServiceConfig, owner: &Arc<Owner>) {
    let owner = owner.clone();
    let route = move |caller, request, shared, payload| serve(owner.clone(), caller, request, shared, payload);
    config.route("/events", web::get().to(route));
}

async fn serve(
    owner: Arc<Owner>,
    caller: Caller,
    request: HttpRequest,
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let failure = |error| Failure::with_id(caller.request_id(), error);
    let begin = async {
        require_own_origin(&request)?;
        // a socket lives as long as its token, and a certificate is none
        let token = caller
            .token()
            .cloned()
            .ok_or_else(|| Error::forbidden("this socket takes a token: services and nodes use GET …/change"))?;
        let (models, asked) = asked(&owner, &request)?;
        let room = owner.sockets.permits.clone().try_acquire_owned().map_err(|_| Error::Unavailable {
            detail: "as many sockets are open here as may be: come again in a moment, or use GET …/change".to_owned(),
            retry_after_s: COME_AGAIN_S,
        })?;
        let feed = owner.database().feed().clone();
        let read = move |c: &mut _| match asked.after {
            // one that is past what is kept is refused while there is an answer to say so with
            Some(position) => feed.after(c, position, 1).map(|_| position),
            None => feed.end(c),
        };
        Ok((token, models, room, owner.database().read(read).await?))
    };
    let (token, models, room, position) = begin.await.map_err(failure)?;
    let (response, session, stream) = actix_ws::handle(&request, payload).map_err(|_| {
        failure(Error::Malformed {
            detail: "this is a WebSocket: ask for it with Upgrade: websocket, or poll GET …/change instead".to_owned(),
        })
    })?;
    let socket = Socket { owner: owner.clone(), shared, token, models, position, session };
    actix_web::rt::spawn(async move {
        socket.run(stream).await;
        std::mem::drop(room);
    });
    Ok(response)
}

/// Which models are wanted, and from where on.
fn asked(owner: &Owner, request: &HttpRequest) -> Result<(Vec<Arc<dyn OwnedModel>>, Asked)> {
    let (names, rest): (Vec<_>, Vec<_>) =
        pairs(request.query_string())?.into_iter().partition(|(key, _)| key == "model");
    if let Some((_, unknown)) = names.iter().find(|(_, name)| !owner.models.iter().any(|model| model.path() == *name)) {
        let known: Vec<_> = owner.models.iter().map(|model| model.path()).collect();
        let (service, known) = (owner.service().name(), known.join(", "));
        let unknown: String = unknown.chars().take(64).collect();
        return Err(Error::invalid("model", format!("{service} owns no {unknown:?}: give some of {known}")));
    }
    let wanted = |model: &&Arc<dyn OwnedModel>| names.is_empty() || names.iter().any(|(_, name)| model.path() == *name);
    Ok((owner.models.iter().filter(wanted).cloned().collect(), pairs_to(&rest)?))
}

/// Refuses what another site's page asks for in the name of whoever looks at it. Programs send no `Origin`.
fn require_own_origin(request: &HttpRequest) -> Result<()> {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let of_origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let of_origin = of_origin.as_ref().and_then(Uri::authority).map(Authority::as_str);
    if of_origin.is_some() && of_origin == host {
        return Ok(());
    }
    Err(Error::forbidden(
        "the header Origin names another site: open the socket from a page of this one, or from a program",
    ))
}
