//! `GET /<service>/v1/quota/{project}`: how a project stands with what the models of a service take. Who may read the
//! project may read this; for all others there is no such project.

use crate::{
    controller::OwnerContext,
    db::Tx,
    http::{Caller, Failure, openapi},
    owner::Owner,
};
use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use cirro_models::{
    Context, Error, Id, Model, Result, Verbs,
    choice::Choice,
    identity::{Project, Quota, Resource, Share},
};
use std::sync::Arc;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        HttpMethod, OpenApi, PathItem, Required,
        path::{ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
    },
};

/// How much of each resource is charged for what does not exist yet; a resource that is not named has none.
pub type Reserved = fn(&mut Tx<'_>, Id<Project>) -> Result<Vec<(Resource, i64)>>;

/// What the models of a service take of a project's quota.
#[derive(Debug, Clone, Copy)]
pub struct Charges {
    /// The resources that are charged.
    pub resources: &'static [Resource],
    /// How much of them is only set aside.
    pub reserved: Reserved,
}

pub(crate) fn routes(config: &mut ServiceConfig, owner: &Arc<Owner>) {
    let Some(charges) = owner.charges else { return };
    config.route("/quota/{project}", web::get().to(move |caller, path| serve(charges, caller, path)));
}

async fn serve(charges: Charges, caller: Caller, path: web::Path<String>) -> Result<HttpResponse, Failure> {
    let work = async {
        let missing = || Error::not_found(Project::PATH, path.chars().take(64).collect::<String>());
        let project: Id<Project> = path.parse().map_err(|_| missing())?;
        let project = Project::get(&caller, project).await?;
        let quota = quota(&caller, charges, project).await?;
        Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(quota))
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

async fn quota(ctx: &Context, charges: Charges, project: Project) -> Result<Quota> {
    ctx.write(move |tx| {
        let reserved = (charges.reserved)(tx, project.id)?;
        let share = |resource: &Resource| {
            let charged = tx.used(project.id, resource.word())?;
            let reserved = reserved.iter().find(|(of, _)| of == resource).map_or(0, |(_, amount)| *amount);
            let (limit, used) = (project.limit(resource), charged.saturating_sub(reserved).max(0));
            Ok(Share { resource: resource.clone(), limit, used, reserved })
        };
        let items = charges.resources.iter().map(share).collect::<Result<_>>()?;
        Ok(Quota { project_id: project.id, items })
    })
    .await
}

/// Adds the operation to the document.
pub(crate) fn describe(document: &mut OpenApi, owner: &Owner) {
    if owner.charges.is_none() {
        return;
    }
    openapi::add::<Quota>(document);
    let project = ParameterBuilder::new().name("project").parameter_in(ParameterIn::Path).required(Required::True);
    let project = project.schema(Some(<Id<Project> as PartialSchema>::schema())).build();
    let answer = ResponseBuilder::new()
        .description("What it may have, what is taken, and what is set aside")
        .content("application/json", openapi::json(openapi::reference(&Quota::name())));
    let get = openapi::operation("get_quota".to_owned(), "quota", "How a project stands with its limits".to_owned());
    let path = format!("/{}/v1/quota/{{project}}", owner.service().name());
    let get = get.parameter(project).response("200", answer);
    document.paths.paths.insert(path, PathItem::new(HttpMethod::Get, get));
}
