//! `POST /identity/v1/token` and the public keys that tokens are verified with.

use crate::{login, records, signer::Signer};
use actix_web::{HttpRequest, HttpResponse, web};
use cirro_models::{
    Error, Principal, Result,
    identity::{
        Revocation,
        token::{Token, TokenRequest},
    },
};
use cirro_server::{
    OwnerContext, Tx,
    db::RequestNote,
    http::{Caller, Failure, Shared, json, operation},
    token::Jwks,
};
use std::{collections::BTreeSet, sync::Arc};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, OpenApi, PathItem, Ref, RefOr, request_body::RequestBodyBuilder,
        response::ResponseBuilder, security::SecurityRequirement,
    },
};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/token", web::post().to(token))
        .route("/token", web::delete().to(logout))
        .route("/token/this", web::delete().to(end_this))
        .route("/jwks", web::get().to(jwks));
}

async fn jwks(shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let signer = shared.stores.part::<Signer>().map_err(|error| Failure::of(&request, error))?;
    Ok(HttpResponse::Ok().json(signer.jwks()))
}

async fn token(
    shared: web::Data<Shared>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let asked: TokenRequest = json(&request, payload).await?;
    let answer = login::answer(&shared, &request, asked).await.map_err(|error| Failure::of(&request, error))?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(answer))
}

/// Ends everything that the caller's user has logged in with.
async fn logout(caller: Caller) -> Result<HttpResponse, Failure> {
    let work = async {
        caller.require_unscoped()?;
        let user = caller.subject().user().ok_or_else(|| Error::forbidden("only a person logs out"))?;
        let root = Principal::User(user).to_string();
        end(&caller, root, Some(format!("refresh:{user}:"))).await
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

/// Ends the token that the caller shows, and no other; whoever has it may.
async fn end_this(caller: Caller) -> Result<HttpResponse, Failure> {
    let work = async {
        let token = caller.token().ok_or_else(|| Error::forbidden("you show no token that could be ended"))?;
        end(&caller, cirro_server::token::name_of(token.expose())?, None).await
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

/// Ends what `subject` holds, and forgets the secrets that begin with `secrets`.
async fn end(caller: &Caller, subject: String, secrets: Option<String>) -> Result<HttpResponse> {
    let signer = caller.stores().part::<Signer>()?;
    let note = RequestNote::new(caller, "delete", "token", &subject, b"");
    let (kept, subject) = (signer.clone(), BTreeSet::from([subject]));
    let end = move |tx: &mut Tx<'_>| -> Result<Vec<Revocation>> {
        if let Some(secrets) = &secrets {
            records::forget_secrets_of(tx.connection(), secrets)?;
        }
        kept.revoke(tx, &subject)
    };
    signer.revoked(&caller.0.clone().answering(Arc::new(note)).write(end).await?);
    Ok(HttpResponse::NoContent().insert_header(("x-request-id", caller.request_id())).finish())
}

pub(crate) fn describe(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Default::default);
    for (name, schema) in
        [("Token", Token::schema()), ("TokenRequest", TokenRequest::schema()), ("Jwks", Jwks::schema())]
    {
        components.schemas.insert(name.to_owned(), schema);
    }
    let mut more = Vec::new();
    Token::schemas(&mut more);
    TokenRequest::schemas(&mut more);
    Jwks::schemas(&mut more);
    components.schemas.extend(more);
    let json = |name: &str| ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name(name)))).build();
    let answer =
        |text: &str, name: &str| ResponseBuilder::new().description(text).content("application/json", json(name));
    let open = || [SecurityRequirement::default()];
    let post = operation(
        "create_token".to_owned(),
        "token",
        "Log in, with Basic authorization or a refresh secret".to_owned(),
    )
    .request_body(Some(RequestBodyBuilder::new().content("application/json", json("TokenRequest")).build()))
    .securities(Some(open()))
    .response("200", answer("A token", "Token"));
    let mut item = PathItem::new(HttpMethod::Post, post);
    let gone = ResponseBuilder::new().description("Everything that the caller has logged in with has ended");
    item.delete = Some(
        operation("delete_token".to_owned(), "token", "Log out everywhere".to_owned()).response("204", gone).build(),
    );
    document.paths.paths.insert("/identity/v1/token".to_owned(), item);
    let gone = ResponseBuilder::new().description("This token has ended");
    let this = operation("delete_this_token".to_owned(), "token", "End the token that is shown".to_owned());
    let item = PathItem::new(HttpMethod::Delete, this.response("204", gone));
    document.paths.paths.insert("/identity/v1/token/this".to_owned(), item);
    let keys = operation("jwks".to_owned(), "token", "The public keys of tokens".to_owned())
        .securities(Some(open()))
        .response("200", answer("The keys", "Jwks"));
    document.paths.paths.insert("/identity/v1/jwks".to_owned(), PathItem::new(HttpMethod::Get, keys));
}
