//! `GET /compute/v1/capacity/{flavor}`: how many more instances of a flavor fit.

use crate::{
    claims,
    launch::room_in_quota,
    routes::describe_path,
    schedule::{self, Need},
};
use actix_web::{HttpResponse, web};
use cirro_models::{
    Context, Count, Error, Id, Result, Verbs,
    compute::{
        Flavor,
        capacity::{Bound, Capacity},
    },
    identity::Project,
};
use cirro_server::{
    OwnerContext,
    http::{Caller, Failure, operation},
};
use utoipa::openapi::{HttpMethod, OpenApi, PathItem, response::ResponseBuilder};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/capacity/{flavor}", web::get().to(capacity));
}

async fn capacity(caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Failure> {
    let work = async {
        let missing = || Error::not_found("flavor", path.chars().take(64).collect::<String>());
        let flavor: Id<Flavor> = path.parse().map_err(|_| missing())?;
        let answer = look(&caller, Flavor::get(&caller, flavor).await?).await?;
        Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(answer))
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

async fn look(ctx: &Context, flavor: Flavor) -> Result<Capacity> {
    let project = match ctx.subject().project() {
        Some(project) => Some(Project::get(ctx, project).await?),
        None => None,
    };
    let need = Need { vcpus: flavor.vcpus, memory_mib: flavor.memory_mib, disk_gib: flavor.disk_gib };
    let operator = ctx.subject().is_operator();
    ctx.write(move |tx| {
        let (on_nodes, nodes) = schedule::room(&need, &claims::candidates(tx)?);
        let allowed = project.as_ref().map_or(Ok(i64::MAX), |project| room_in_quota(tx, project, &need))?;
        Ok(Capacity {
            flavor_id: flavor.id,
            more: Count::new(on_nodes.min(allowed)),
            bound: if allowed < on_nodes { Bound::Quota } else { Bound::Nodes },
            on_nodes: operator.then(|| Count::new(on_nodes)),
            nodes: operator.then(|| Count::new(nodes)),
        })
    })
    .await
}

pub(crate) fn describe(document: &mut OpenApi) {
    describe_path::<Capacity>(document, "/compute/v1/capacity/{flavor}", "flavor", |schema| {
        let answer = ResponseBuilder::new().description("How many more fit").content("application/json", schema);
        let get = operation("get_capacity".to_owned(), "flavor", "How many more instances of a flavor fit".to_owned());
        PathItem::new(HttpMethod::Get, get.response("200", answer))
    });
}
