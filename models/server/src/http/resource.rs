//! The routes of a model, written once for all of them.

use crate::{
    http::{
        Caller, Failure, MountedModel, json, openapi, query,
        rendered::{Linked, etag, linked},
    },
    local::Local,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::ContentType},
    web::{self, Path, Payload, ServiceConfig},
};
use cirro_models::{Context, Deleted, Error, Generation, Id, Listing, Model, Result, page::Batch, sql::Table};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::marker::PhantomData;

/// The routes of `M`.
pub struct Resource<M>(PhantomData<fn() -> M>);

impl<M> Default for Resource<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M: Table> MountedModel for Resource<M> {
    fn routes(&self, config: &mut ServiceConfig) {
        config
            .service(
                web::resource(format!("/{}", M::PATH))
                    .route(web::get().to(list::<M>))
                    .route(web::post().to(create::<M>))
                    .default_service(web::to(|request| super::problem::wrong_method(request, "GET, POST"))),
            )
            .service(
                web::resource(format!("/{}/batch", M::PATH))
                    .route(web::post().to(batch::<M>))
                    .default_service(web::to(|request| super::problem::wrong_method(request, "POST"))),
            )
            .service(
                web::resource(format!("/{}/{{id}}", M::PATH))
                    .route(web::get().to(get::<M>))
                    .route(web::put().to(save::<M>))
                    .route(web::patch().to(update::<M>))
                    .route(web::delete().to(delete::<M>))
                    .default_service(web::to(|request| {
                        super::problem::wrong_method(request, "GET, PUT, PATCH, DELETE")
                    })),
            );
    }
    fn describe(&self, document: &mut utoipa::openapi::OpenApi) {
        openapi::describe::<M>(document);
    }
}

/// A row as an answer, with its links and its `ETag`; `once` is what no other answer will hold.
pub fn answer<M: Model>(ctx: &Context, status: StatusCode, model: &M, once: Map<String, Value>) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response.insert_header(("etag", etag(model.meta().version))).insert_header(("x-request-id", ctx.request_id()));
    if status == StatusCode::CREATED || (status == StatusCode::ACCEPTED && M::ACCEPTED) {
        response.insert_header(("location", format!("/{}/v1/{}/{}", M::SERVICE.name(), M::PATH, model.id())));
    }
    if !once.is_empty() {
        response.insert_header(("cache-control", "no-store"));
    }
    response.json(linked(model, once))
}

/// Runs a verb and turns its error into a problem with the request's id.
async fn answering(caller: &Caller, work: impl Future<Output = Result<HttpResponse>>) -> Result<HttpResponse, Failure> {
    let outcome = match caller.remaining() {
        Ok(remaining) => tokio::time::timeout(remaining, work).await.unwrap_or_else(|_| {
            Err(Error::DeadlineExceeded {
                detail: "the request was not finished in time: repeat it, with its Idempotency-Key".to_owned(),
            })
        }),
        Err(error) => Err(error),
    };
    outcome.map_err(|error| Failure::with_id(caller.request_id(), error))
}

fn id<M: Model>(path: &Path<String>) -> Result<Id<M>> {
    // what is no id can't exist: the answer is the same
    path.parse().map_err(|_| Error::not_found(M::PATH, path.chars().take(64).collect::<String>()))
}

/// The version that `If-Match` asks for.
fn if_match(request: &HttpRequest) -> Result<Option<Generation>> {
    let Some(value) = request.headers().get("if-match") else { return Ok(None) };
    let version = value.to_str().ok().map(|value| value.trim_start_matches("W/").trim_matches('"'));
    match version {
        Some("*") => Ok(None),
        Some(version) => version.parse().map(|version| Some(Generation::new(version))).map_err(|_| Error::Malformed {
            detail: "the header If-Match can't be used: give the ETag that you have read".to_owned(),
        }),
        None => Err(Error::Malformed {
            detail: "the header If-Match can't be used: give the ETag that you have read".to_owned(),
        }),
    }
}

async fn get<M: Table>(caller: Caller, path: Path<String>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        let found = caller.stores().part::<Local<M>>()?.read(&caller, id(&path)?).await?;
        // permission has been asked by now, so an unchanged row may say so
        let known = request.headers().get("if-none-match").and_then(|value| value.to_str().ok());
        Ok(found.answer(&caller, known))
    };
    answering(&caller, work).await
}

#[derive(Serialize)]
struct Rows<'m, M: Model> {
    items: Vec<Linked<'m, M>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list<M: Table>(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        let (filter, page) = query::<M::Filter>(request.query_string())?;
        let listing = caller.stores().of::<M>()?.list(&caller, &filter, &page).await?;
        let body = if listing.items.len() > AT_ONCE {
            tokio::task::spawn_blocking(move || spell(listing)).await.map_err(Error::internal)??
        } else {
            spell(listing)?
        };
        Ok(HttpResponse::Ok()
            .insert_header(("x-request-id", caller.request_id()))
            .content_type(ContentType::json())
            .body(body))
    };
    answering(&caller, work).await
}

/// More rows than this are put into words where nobody else waits for that: a thousand take as long as a hundred small answers.
const AT_ONCE: usize = 200;

fn spell<M: Model>(listing: Listing<M>) -> Result<Vec<u8>> {
    let items = listing.items.iter().map(|row| linked(row, Map::new())).collect();
    serde_json::to_vec(&Rows { items, next: listing.next }).map_err(Error::internal)
}

/// The body of a batch read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: Vec<uuid::Uuid>,
}

async fn batch<M: Table>(caller: Caller, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let asked: Ids = json(&request, payload).await?;
    let work = async {
        let ids: Vec<Id<M>> = asked.ids.iter().copied().map(Id::from_uuid).collect();
        let items = caller.stores().of::<M>()?.get_many(&caller, &ids).await?;
        let missing =
            ids.iter().filter(|id| !items.iter().any(|row| row.id() == **id)).map(ToString::to_string).collect();
        Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(Batch { items, missing }))
    };
    answering(&caller, work).await
}

async fn create<M: Table>(caller: Caller, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let new: M::New = json(&request, payload).await?;
    let work = async {
        let created = caller.stores().of::<M>()?.create(&caller, new).await?;
        let once = created.once.iter().map(|(field, secret)| (field.clone(), secret.expose().into())).collect();
        let status = if M::ACCEPTED { StatusCode::ACCEPTED } else { StatusCode::CREATED };
        Ok(answer(&caller, status, &created.model, once))
    };
    answering(&caller, work).await
}

async fn update<M: Table>(
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let patch: M::Patch = json(&request, payload).await?;
    let work = async {
        let row = caller.stores().of::<M>()?.update(&caller, id(&path)?, patch, if_match(&request)?).await?;
        Ok(answer(&caller, StatusCode::OK, &row, Map::new()))
    };
    answering(&caller, work).await
}

async fn save<M: Table>(
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let whole: Map<String, Value> = json(&request, payload).await?;
    let work = async {
        let row = caller.stores().of::<M>()?.save(&caller, id(&path)?, whole, if_match(&request)?).await?;
        Ok(answer(&caller, StatusCode::OK, &row, Map::new()))
    };
    answering(&caller, work).await
}

async fn delete<M: Table>(caller: Caller, path: Path<String>) -> Result<HttpResponse, Failure> {
    let work = async {
        match caller.stores().of::<M>()?.delete(&caller, id(&path)?).await? {
            Deleted::Gone => {
                Ok(HttpResponse::NoContent().insert_header(("x-request-id", caller.request_id())).finish())
            }
            Deleted::Begun(row) => Ok(answer(&caller, StatusCode::ACCEPTED, &row, Map::new())),
        }
    };
    answering(&caller, work).await
}
