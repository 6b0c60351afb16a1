//! `GET /identity/v1/user/me`: who the caller is, and where they may do what.

use crate::rights::present_rights;
use actix_web::{HttpResponse, web};
use cirro_models::{
    Error, Result,
    identity::{Grant, Project, User},
};
use cirro_server::{
    OwnerContext,
    http::{Caller, Failure, operation},
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{ContentBuilder, HttpMethod, OpenApi, PathItem, Ref, RefOr, response::ResponseBuilder},
};

/// Who the caller is, and where they may do what.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    /// Who the token names, such as `user:0197…`.
    subject: String,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    /// The project of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<Project>,
    /// The role there.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<cirro_models::Role>,
    /// Whether the token carries the site's Operator role.
    operator: bool,
    /// Everything that the person was granted, themselves or in a group.
    grants: Vec<Grant>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/user/me", web::get().to(me));
}

async fn me(caller: Caller) -> Result<HttpResponse, Failure> {
    let answer = read(&caller).await.map_err(|error| Failure::with_id(caller.request_id(), error))?;
    Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(answer))
}

async fn read(caller: &Caller) -> Result<Me> {
    let subject = caller.subject();
    let (user, project) = (subject.user(), subject.project());
    let (user, project, grants) = caller
        .database()?
        .read(move |c| {
            use cirro_models::sql::Table;
            let found = |error| Error::internal(error);
            let user_row =
                user.map(|id| User::select(c, &[id])).transpose().map_err(found)?.and_then(|mut rows| rows.pop());
            let project =
                project.map(|id| Project::select(c, &[id])).transpose().map_err(found)?.and_then(|mut rows| rows.pop());
            let grants = user.map(|user| present_rights(c, user)).transpose()?.map_or_else(Vec::new, |rights| rights.0);
            Ok((user_row, project, grants))
        })
        .await?;
    Ok(Me {
        subject: subject.principal().to_string(),
        user,
        project,
        role: subject.project_role().map(|(_, role)| role.clone()),
        operator: subject.is_operator(),
        grants,
    })
}

pub(crate) fn describe(document: &mut OpenApi) {
    let mut schemas = vec![(Me::name().into_owned(), <Me as utoipa::PartialSchema>::schema())];
    Me::schemas(&mut schemas);
    document.components.get_or_insert_with(Default::default).schemas.extend(schemas);
    let content = ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name(Me::name())))).build();
    let answer = ResponseBuilder::new().description("The caller").content("application/json", content);
    let get = operation("me_user".to_owned(), "user", "Who am I?".to_owned()).response("200", answer);
    document.paths.paths.insert("/identity/v1/user/me".to_owned(), PathItem::new(HttpMethod::Get, get));
}
