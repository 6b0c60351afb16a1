//! `/<service>/v1/job`: a service's work queue, for Operators. A dead job is requeued by `PATCH` and dropped by `DELETE`;
//! nobody creates one.

use crate::{
    db::RequestNote,
    http::{
        Caller, Failure,
        body::{json, query},
        openapi,
        problem::wrong_method,
    },
    owner::Owner,
    queue::{self, Operation},
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Path, Payload, ServiceConfig},
};
use cirro_models::{
    Error, Id, Page, Result,
    queue::{JobFilter, JobPatch, JobState, QueuedJob},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        HttpMethod, ObjectBuilder, OpenApi, PathItem, Required,
        path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        response::ResponseBuilder,
        schema::{ArrayBuilder, Type},
    },
};
use uuid::Uuid;

pub(crate) fn routes(config: &mut ServiceConfig, owner: &Arc<Owner>) {
    let (of_list, of_get, of_patch, of_delete) = (owner.clone(), owner.clone(), owner.clone(), owner.clone());
    config
        .service(
            web::resource("/job")
                .route(web::get().to(move |caller, request| list(of_list.clone(), caller, request)))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/job/{id}")
                .route(web::get().to(move |caller, path| get(of_get.clone(), caller, path)))
                .route(
                    web::patch().to(move |caller, path, request, payload| {
                        patch(of_patch.clone(), caller, path, request, payload)
                    }),
                )
                .route(web::delete().to(move |caller, path| delete(of_delete.clone(), caller, path)))
                .default_service(web::to(|request| wrong_method(request, "GET, PATCH, DELETE"))),
        );
}

/// Does it for an Operator, in the time that the caller has.
async fn answering<T>(caller: &Caller, work: impl Future<Output = Result<T>>) -> Result<T, Failure> {
    let outcome = async {
        if !caller.subject().is_operator() {
            return Err(Error::forbidden("the work queue is an operator's: ask one of the site"));
        }
        tokio::time::timeout(caller.remaining()?, work).await.unwrap_or_else(|_| {
            Err(Error::DeadlineExceeded { detail: "the queue did not answer in time: try again".to_owned() })
        })
    };
    outcome.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

fn answer(caller: &Caller, body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(body)
}

fn id(path: &Path<String>) -> Result<Uuid> {
    // what is no id can't exist: the answer is the same
    path.parse().map_err(|_| Error::not_found("job", path.chars().take(64).collect::<String>()))
}

async fn list(owner: Arc<Owner>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        let (filter, page): (JobFilter, Page) = query(request.query_string())?;
        if let Some(state) = &filter.state {
            cirro_models::patch::Check::check(state).map_err(|detail| Error::invalid("state", detail))?;
        }
        queue::list(owner.database(), filter, &page).await
    };
    answering(&caller, work).await.map(|listing| answer(&caller, &listing))
}

async fn get(owner: Arc<Owner>, caller: Caller, path: Path<String>) -> Result<HttpResponse, Failure> {
    let work = async { queue::get(owner.database(), id(&path)?).await };
    answering(&caller, work).await.map(|job| answer(&caller, &job))
}

async fn patch(
    owner: Arc<Owner>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let patch: JobPatch = json(&request, payload).await?;
    let work = async {
        if patch.state != JobState::Waiting {
            return Err(Error::invalid(
                "state",
                "a dead job is requeued by making it \"waiting\"; nothing else can be set",
            ));
        }
        operate(&owner, &caller, Operation::Requeue, &path).await
    };
    let job = noted(&owner, &caller, "update", &path, answering(&caller, work).await).await?;
    Ok(answer(&caller, &job))
}

async fn delete(owner: Arc<Owner>, caller: Caller, path: Path<String>) -> Result<HttpResponse, Failure> {
    let work = operate(&owner, &caller, Operation::Drop, &path);
    noted(&owner, &caller, "delete", &path, answering(&caller, work).await).await?;
    Ok(HttpResponse::NoContent().insert_header(("x-request-id", caller.request_id())).finish())
}

async fn operate(owner: &Owner, caller: &Caller, operation: Operation, path: &Path<String>) -> Result<QueuedJob> {
    let id = id(path)?;
    let word = if operation == Operation::Requeue { "update" } else { "delete" };
    let note = RequestNote::new(caller, word, "job", &id.to_string(), &[]);
    queue::operate(owner.database(), &owner.works, caller.subject(), note, (operation, id)).await
}

/// Who tries what they may not is to be found in the audit too.
async fn noted<T>(
    owner: &Owner,
    caller: &Caller,
    operation: &'static str,
    path: &Path<String>,
    outcome: Result<T, Failure>,
) -> Result<T, Failure> {
    if !caller.subject().is_operator() {
        let note = RequestNote::new(caller, operation, "job", path, &[]);
        owner.database().note_refusal(caller.subject(), Arc::new(note)).await;
    }
    outcome
}

/// Adds the operations to the document.
pub(crate) fn describe(document: &mut OpenApi, owner: &Owner) {
    openapi::add::<QueuedJob>(document);
    openapi::add::<JobPatch>(document);
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let limit = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(Page::MAX));
    let parameters =
        [("state", JobState::schema()), ("kind", text().into()), ("limit", limit.into()), ("after", text().into())];
    let items = ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(openapi::reference(&QueuedJob::name())))
        .required("items")
        .property("next", text());
    let page = ResponseBuilder::new().description("One page").content("application/json", openapi::json(items.into()));
    let op = |verb: &str, summary: &str| openapi::operation(format!("{verb}_job"), "job", summary.to_owned());
    let one = |description: &str| {
        let body = openapi::json(openapi::reference(&QueuedJob::name()));
        ResponseBuilder::new().description(description).content("application/json", body)
    };
    let which = || -> Parameter {
        let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
        id.schema(Some(<Id<QueuedJob> as PartialSchema>::schema())).build()
    };
    let key = || openapi::header("Idempotency-Key", "One key, one effect: a repetition gets the first answer");
    let list = parameters.into_iter().fold(op("list", "The work queue"), |list: OperationBuilder, (name, schema)| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
        list.parameter(parameter.required(Required::False).schema(Some(schema)).build())
    });
    let root = PathItem::new(HttpMethod::Get, list.response("200", page));
    let mut item = PathItem::new(HttpMethod::Get, op("get", "A job").parameter(which()).response("200", one("It")));
    let patch = openapi::json(openapi::reference(&JobPatch::name()));
    let patch = RequestBodyBuilder::new().content("application/json", patch).required(Some(Required::True)).build();
    let requeue = op("update", "Requeue a dead job").parameter(which()).parameter(key()).request_body(Some(patch));
    item.patch = Some(requeue.response("200", one("As it is now")).build());
    let gone = ResponseBuilder::new().description("Gone");
    let drop = op("delete", "Drop a dead job").parameter(which()).parameter(key());
    item.delete = Some(drop.response("204", gone).build());
    let path = format!("/{}/v1/job", owner.service().name());
    document.paths.paths.insert(format!("{path}/{{id}}"), item);
    document.paths.paths.insert(path, root);
}
