//! `POST /identity/v1/token` and the public keys that tokens are verified with.

use crate::{controllers::MANY, password, records, signer::Signer};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use cirro_models::{
    Error, Id, Principal, Reach, Result, Role, Timestamp,
    identity::{
        ApiKey, Grant, Project, Secret, User,
        grant::GrantFilter,
        project::ProjectFilter,
        token::{Token, TokenRequest},
        user::UserFilter,
    },
    sql::{AnyConnection, Table},
};
use cirro_server::{
    Database, OwnerContext,
    controller::service_subject,
    http::{Failure, Shared, json, operation},
    token::Jwks,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, OpenApi, PathItem, Ref, RefOr, request_body::RequestBodyBuilder,
        response::ResponseBuilder, security::SecurityRequirement,
    },
};

/// How long a refresh secret is good, in seconds.
const REFRESH_S: i64 = 12 * 3600;
/// Failed logins of one account that are allowed within [`WINDOW`].
const FAILURES: u32 = 10;
/// The most accounts whose failures are remembered.
const ACCOUNTS: usize = 100_000;
/// The longest name that can be anybody's: `node:` and an id, or a [`cirro_models::Name`].
const LONGEST: usize = 63;
/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);

/// Failed logins of late, per account.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, (u32, Instant)>>);

impl Attempts {
    /// Counts an attempt as failed until [`Self::succeeded`]: many that come at once can't all pass before the first of
    /// them has failed.
    fn begin(&self, account: &str) -> Result<()> {
        let mut failures = self.0.lock();
        failures.retain(|_, (_, since)| since.elapsed() < WINDOW);
        // bounded, as names are: somebody who tries many names must not fill the memory
        if failures.len() >= ACCOUNTS && !failures.contains_key(account) {
            return Ok(());
        }
        let (count, since) = failures.entry(account.to_owned()).or_insert((0, Instant::now()));
        if *count >= FAILURES {
            return Err(Error::TooManyRequests {
                detail: format!("too many failed logins as {account}: wait a minute"),
                retry_after_s: u32::try_from(WINDOW.saturating_sub(since.elapsed()).as_secs()).unwrap_or(60) + 1,
            });
        }
        *count += 1;
        Ok(())
    }
    fn succeeded(&self, account: &str) {
        if let Some((count, _)) = self.0.lock().get_mut(account) {
            *count = count.saturating_sub(1);
        }
    }
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/token", web::post().to(token))
        .route("/token", web::delete().to(logout))
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
    let answer = answer(&shared, &request, asked).await.map_err(|error| Failure::of(&request, error))?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(answer))
}

/// Ends everything that the caller's user has logged in with.
async fn logout(caller: cirro_server::http::Caller) -> Result<HttpResponse, Failure> {
    let work = async {
        caller.require_unscoped()?;
        let user = caller.subject().user().ok_or_else(|| Error::forbidden("only a person logs out"))?;
        let root = Principal::User(user).to_string();
        let (database, signer) = (caller.stores().part::<Database>()?, caller.stores().part::<Signer>()?);
        let ended = root.clone();
        let end = move |tx: &mut cirro_server::Tx<'_>| {
            records::forget_secrets_of(tx.connection(), &format!("refresh:{user}:"))?;
            Signer::revoke(tx, &ended)
        };
        database.write(caller.subject(), None, end).await?;
        signer.revoked(&root);
        Ok(HttpResponse::NoContent().finish())
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

async fn answer(shared: &Shared, request: &HttpRequest, asked: TokenRequest) -> Result<Token> {
    let (database, signer) = (shared.stores.part::<Database>()?, shared.stores.part::<Signer>()?);
    let attempts = shared.stores.part::<Attempts>()?;
    if let Some(refresh) = asked.refresh {
        let (user, spent) = refreshing(&database, refresh).await?;
        return for_user(&database, &signer, user, asked.project, Some(spent)).await;
    }
    let (name, secret) = basic(request)?;
    if name.len() > LONGEST {
        return Err(wrong());
    }
    attempts.begin(&name)?;
    let proven = match name.split_once(':') {
        Some(("node", id)) => node(&database, &signer, id, secret).await,
        _ => match name.parse::<Id<ApiKey>>() {
            Ok(key) => api_key(&database, &signer, key, secret).await,
            Err(_) => match person(&database, &name, secret).await {
                Ok(user) => for_user(&database, &signer, user, asked.project, None).await,
                Err(error) => Err(error),
            },
        },
    };
    if !matches!(proven, Err(Error::Unauthenticated { .. })) {
        attempts.succeeded(&name);
    }
    proven
}

/// The name and secret of a Basic header (RFC 7617); a node's name holds a colon, so the last one divides.
fn basic(request: &HttpRequest) -> Result<(String, Secret)> {
    let refuse = || {
        Error::unauthenticated(
            "send `Authorization: Basic …` with a user's name and password, or with a key's id and secret",
        )
    };
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok()).ok_or_else(refuse)?;
    let (scheme, encoded) = header.split_once(' ').ok_or_else(refuse)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refuse());
    }
    let text =
        STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(refuse)?;
    let divided = match text.strip_prefix("node:") {
        Some(rest) => rest.split_once(':').map(|(id, secret)| (format!("node:{id}"), secret)),
        None => text.split_once(':').map(|(name, secret)| (name.to_owned(), secret)),
    };
    divided.map(|(name, secret)| (name, Secret::new(secret))).ok_or_else(refuse)
}

fn wrong() -> Error {
    Error::unauthenticated("the name or the password is wrong, or the account is disabled")
}

fn rows<M: Table>(c: &mut AnyConnection, filter: &M::Filter) -> Result<Vec<M>> {
    M::page(c, filter, &Reach::All, None, MANY).map_err(Error::internal)
}

async fn person(database: &Database, name: &str, password: Secret) -> Result<User> {
    let filter = UserFilter { name: name.parse().ok(), enabled: Some(true), ..UserFilter::default() };
    let known = filter.name.is_some();
    let found = database
        .read(move |c| {
            let user = if known { rows::<User>(c, &filter)?.pop() } else { None };
            let hash = user.as_ref().map(|user| records::password_of(c, user.id)).transpose()?.flatten();
            Ok(user.zip(hash))
        })
        .await?;
    let (user, hash) = found.unzip();
    if password::matches(password, hash).await? { user.ok_or_else(wrong) } else { Err(wrong()) }
}

/// The user of a refresh secret and where it is kept; it is spent when the next one is made.
async fn refreshing(database: &Database, refresh: Secret) -> Result<(User, String)> {
    let (user, _) = refresh.expose().split_once('.').ok_or_else(over)?;
    let user: Id<User> = user.parse().map_err(|_| over())?;
    let owner = format!("refresh:{user}:{}", password::digest(&refresh));
    let look = move |c: &mut AnyConnection| {
        let good = records::is_secret_of(c, &owner, &refresh)?;
        let user = User::select(c, &[user]).map_err(Error::internal)?.pop().filter(|user| user.enabled && good);
        Ok(user.map(|user| (user, owner)))
    };
    database.read(look).await?.ok_or_else(over)
}

fn over() -> Error {
    Error::unauthenticated("the refresh secret was used, has expired or was revoked: log in again")
}

async fn for_user(
    database: &Database,
    signer: &Signer,
    user: User,
    project: Option<String>,
    spent: Option<String>,
) -> Result<Token> {
    let id = user.id;
    let refresh = Secret::new(format!("{id}.{}", password::random_secret()?.expose()));
    let kept = refresh.clone();
    let subject = service_subject(cirro_models::Service::Identity);
    let (operator, role) = database
        .write(&subject, None, move |tx| {
            let grants = tx.list::<Grant>(&GrantFilter { user_id: Some(id), ..GrantFilter::default() }, MANY)?;
            let operator = grants.iter().any(|grant| grant.project_id.is_none() && grant.role == Role::Operator);
            let chosen = choose(tx.connection(), &grants, operator, project.as_deref())?;
            // spent only now: a refused project must not log anybody out; and only one of two at once gets the next
            if let Some(spent) = &spent
                && records::forget_secret(tx.connection(), spent)? == 0
            {
                return Err(over());
            }
            let owner = format!("refresh:{id}:{}", password::digest(&kept));
            records::set_secret(tx.connection(), &owner, &kept, Timestamp::now().plus_seconds(REFRESH_S))?;
            Ok((operator, chosen))
        })
        .await?;
    let who = Principal::User(id);
    finish(signer, &who, who.to_string(), role, operator, Some(refresh))
}

/// The project to work in, and the highest role there.
fn choose(
    c: &mut AnyConnection,
    grants: &[Grant],
    operator: bool,
    wanted: Option<&str>,
) -> Result<Option<(Id<Project>, Role)>> {
    let highest = |project: Id<Project>| {
        let here = grants.iter().filter(|grant| grant.project_id == Some(project));
        here.map(|grant| grant.role.clone()).max_by_key(Role::rank)
    };
    let Some(wanted) = wanted else {
        let mut projects: Vec<_> = grants.iter().filter_map(|grant| grant.project_id).collect();
        projects.sort_unstable();
        projects.dedup();
        return Ok(match projects[..] {
            [only] => highest(only).map(|role| (only, role)),
            _ => None,
        });
    };
    let refuse = || {
        Error::forbidden(format!("you have no role in a project {wanted}, or there is none: ask its admin for a grant"))
    };
    let project = if let Ok(id) = wanted.parse::<Id<Project>>() {
        Project::select(c, &[id]).map_err(Error::internal)?.pop()
    } else {
        let name = wanted.parse().map_err(|_| refuse())?;
        rows::<Project>(c, &ProjectFilter { name: Some(name), ..ProjectFilter::default() })?.pop()
    };
    let project = project.ok_or_else(refuse)?.id;
    let role = highest(project).or_else(|| operator.then_some(Role::Admin)).ok_or_else(refuse)?;
    Ok(Some((project, role)))
}

async fn api_key(database: &Database, signer: &Signer, key: Id<ApiKey>, secret: Secret) -> Result<Token> {
    let found = database
        .read(move |c| {
            if !records::is_secret_of(c, &format!("key:{key}"), &secret)? {
                return Ok(None);
            }
            let Some(key) = ApiKey::select(c, &[key]).map_err(Error::internal)?.pop() else { return Ok(None) };
            let user = User::select(c, &[key.user_id]).map_err(Error::internal)?.pop().filter(|user| user.enabled);
            let filter = GrantFilter { user_id: Some(key.user_id), ..GrantFilter::default() };
            let grants = rows::<Grant>(c, &filter)?;
            Ok(user.map(|_| (key, grants)))
        })
        .await?;
    let (key, grants) = found.ok_or_else(wrong)?;
    // the key's own limit and what its user may do now: the lesser of the two
    let operator = grants.iter().any(|grant| grant.role == Role::Operator);
    let here = grants.iter().filter(|grant| grant.project_id == Some(key.project_id)).map(|grant| grant.role.clone());
    let held = here.max_by_key(Role::rank).or_else(|| operator.then_some(Role::Admin));
    let held = held.ok_or_else(|| Error::forbidden("the key's user has no role in its project any more"))?;
    let role = if held.rank() < key.role.rank() { held } else { key.role.clone() };
    let root = Principal::User(key.user_id).to_string();
    finish(signer, &Principal::ApiKey(key.id, key.user_id), root, Some((key.project_id, role)), false, None)
}

async fn node(database: &Database, signer: &Signer, id: &str, secret: Secret) -> Result<Token> {
    let node = id.parse().map_err(|_| wrong())?;
    let who = Principal::Node(node);
    let owner = who.to_string();
    if !database.read(move |c| records::is_secret_of(c, &owner, &secret)).await? {
        return Err(wrong());
    }
    finish(signer, &who, who.to_string(), None, false, None)
}

fn finish(
    signer: &Signer,
    who: &Principal,
    root: String,
    project: Option<(Id<Project>, Role)>,
    operator: bool,
    refresh: Option<Secret>,
) -> Result<Token> {
    let (token, expires_at) = signer.token(who, root, project.clone(), operator)?;
    let (project_id, role) = project.unzip();
    Ok(Token { token: Secret::new(token), expires_at, refresh, subject: who.to_string(), project_id, role, operator })
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
    let keys = operation("jwks".to_owned(), "token", "The public keys of tokens".to_owned())
        .securities(Some(open()))
        .response("200", answer("The keys", "Jwks"));
    document.paths.paths.insert("/identity/v1/jwks".to_owned(), PathItem::new(HttpMethod::Get, keys));
}
