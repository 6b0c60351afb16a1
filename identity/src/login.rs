//! Who may have a token: a person with a password or a refresh secret, a script with a key, a node with its credential.
//!
//! Rights are read in the transaction that also says when the token was made: see [`Signer::moment`].

use crate::{
    attempts::{Attempt, Attempts, note_place},
    claimed::{self, Claimed},
    password, records,
    rights::{Rights, present_rights},
    signer::Signer,
};
use actix_web::HttpRequest;
use cirro_models::{
    Error, Id, Principal, Reach, Result, Role, Timestamp,
    identity::{
        ApiKey, KeySecret, Project, Secret, User,
        project::ProjectFilter,
        token::{Token, TokenRequest},
        user::UserFilter,
    },
    sql::{AnyConnection, Table},
};
use cirro_server::{
    Database, Tx,
    controller::service_subject,
    db::RequestNote,
    http::{Asked, Shared},
};
use std::sync::Arc;

/// How long a refresh secret is good, in seconds.
const REFRESH_S: i64 = 12 * 3600;
/// The longest name that can be anybody's: `node:` and an id, or a [`cirro_models::Name`].
const LONGEST: usize = 63;
/// What the names of nodes begin with.
const NODE: &str = "node:";

/// What a token is made of.
pub(crate) struct Grounds {
    who: Principal,
    /// Whose it is.
    root: String,
    /// When the rights were read.
    made: Timestamp,
    /// When what proves it ends, if the token may not outlive that.
    ends: Option<Timestamp>,
    project: Option<(Id<Project>, Role)>,
    operator: bool,
    refresh: Option<Secret>,
}

/// What is noted with a login.
struct Noted {
    note: Arc<RequestNote>,
    /// Where it comes from, if that is new.
    place: Option<String>,
}

impl Noted {
    /// It was theirs, at this moment.
    fn theirs(&self, tx: &mut Tx<'_>, who: &Principal, made: Timestamp) -> Result<()> {
        tx.note_as(who);
        self.place.as_ref().map_or(Ok(()), |place| note_place(tx.connection(), place, made))
    }
}

/// How a person has proven who they are; asked again in the transaction that gives the token.
#[derive(Clone)]
enum Proof {
    /// The password with this hash.
    Password(String),
    /// The refresh secret that is kept here.
    Refresh(String),
}

/// The token that a request asks for, if it proves who asks.
pub(crate) async fn answer(shared: &Shared, request: &HttpRequest, asked: TokenRequest) -> Result<Token> {
    let (database, signer) = (shared.stores.part::<Database>()?, shared.stores.part::<Signer>()?);
    let attempts = shared.stores.part::<Attempts>()?;
    let from = claimed::place(request, asked.from)?;
    // under which name, it says when that is proven
    let id = Asked::of(request).request_id.clone();
    let note = Arc::new(RequestNote::of_stranger(id, "create", "token"));
    let grounds = if let Some(refresh) = asked.refresh {
        let (user, kept) = refreshing(&database, refresh).await?;
        let noted = Noted { note, place: None };
        for_user(&database, &signer, user, asked.project, Proof::Refresh(kept), noted).await?
    } else {
        let who = Claimed::read(request, from)?;
        proven(&database, &signer, &attempts, who, asked.project, note).await?
    };
    signed(&signer, grounds)
}

/// What the claim is good for, if it is true; wrong ones are counted.
pub(crate) async fn proven(
    database: &Database,
    signer: &Arc<Signer>,
    attempts: &Attempts,
    claimed: Claimed,
    project: Option<String>,
    note: Arc<RequestNote>,
) -> Result<Grounds> {
    let Claimed { name, secret, from } = claimed;
    if name.len() > LONGEST {
        return Err(wrong());
    }
    let mut attempt = Attempt::new(&name, from);
    if name.starts_with(NODE) || name.parse::<Id<ApiKey>>().is_ok() {
        attempt = attempt.with_drawn_secret();
    }
    attempts.begin(&mut attempt).await?;
    let noted = Noted { note, place: attempts.new_place(&attempt) };
    let proven = prove(database, signer, &name, secret, project, noted).await;
    match &proven {
        Ok(_) => attempts.succeeded(&attempt).await,
        Err(Error::Unauthenticated { .. }) => attempts.failed(&attempt),
        Err(_) => attempts.let_go(&attempt).await,
    }
    proven
}

/// The token that is made of this.
pub(crate) fn signed(signer: &Signer, grounds: Grounds) -> Result<Token> {
    let Grounds { who, root, made, ends, project, operator, refresh } = grounds;
    let (token, expires_at) = signer.token(&who, root, made, ends, project.clone(), operator)?;
    let (project_id, role) = project.unzip();
    Ok(Token { token: Secret::new(token), expires_at, refresh, subject: who.to_string(), project_id, role, operator })
}

async fn prove(
    database: &Database,
    signer: &Arc<Signer>,
    name: &str,
    secret: Secret,
    project: Option<String>,
    noted: Noted,
) -> Result<Grounds> {
    if let Some(id) = name.strip_prefix(NODE) {
        return node(database, signer.clone(), id, secret, noted).await;
    }
    if let Ok(key) = name.parse::<Id<ApiKey>>() {
        return api_key(database, signer.clone(), key, secret, noted).await;
    }
    let (user, hash) = person(database, name, secret).await?;
    for_user(database, signer, user, project, Proof::Password(hash), noted).await
}

fn wrong() -> Error {
    Error::unauthenticated("the name or the password is wrong, or the account is disabled")
}

fn over() -> Error {
    Error::unauthenticated("the refresh secret was used, has expired or was revoked: log in again")
}

async fn person(database: &Database, name: &str, password: Secret) -> Result<(Id<User>, String)> {
    let filter = UserFilter { name: name.parse().ok(), enabled: Some(true), ..UserFilter::default() };
    let known = filter.name.is_some();
    let found = database
        .read(move |c| {
            let user = if known { one::<User>(c, &filter)? } else { None };
            let hash = user.as_ref().map(|user| records::password_of(c, user.id)).transpose()?.flatten();
            Ok(user.zip(hash))
        })
        .await?;
    let (user, hash) = found.unzip();
    let right = password::matches(password, hash.clone()).await?;
    user.zip(hash).filter(|_| right).map(|(user, hash)| (user.id, hash)).ok_or_else(wrong)
}

/// The one row that meets the filter.
fn one<M: Table>(c: &mut AnyConnection, filter: &M::Filter) -> Result<Option<M>> {
    Ok(M::page(c, filter, &Reach::All, None, 1).map_err(Error::internal)?.pop())
}

/// The user of a refresh secret and where it is kept; it is spent when the next one is made.
async fn refreshing(database: &Database, refresh: Secret) -> Result<(Id<User>, String)> {
    let (user, _) = refresh.expose().split_once('.').ok_or_else(over)?;
    let user: Id<User> = user.parse().map_err(|_| over())?;
    let owner = format!("refresh:{user}:{}", password::digest(&refresh));
    let look = move |c: &mut AnyConnection| Ok(records::is_secret_of(c, &owner, &refresh)?.then_some((user, owner)));
    database.read(look).await?.ok_or_else(over)
}

async fn for_user(
    database: &Database,
    signer: &Arc<Signer>,
    user: Id<User>,
    project: Option<String>,
    proof: Proof,
    noted: Noted,
) -> Result<Grounds> {
    let refresh = Secret::new(format!("{user}.{}", password::random_secret()?.expose()));
    let (kept, signer, who) = (refresh.clone(), signer.clone(), Principal::User(user));
    let root = who.to_string();
    let note = noted.note.clone();
    let give = move |tx: &mut Tx<'_>| {
        let made = signer.moment(tx, &root)?;
        let rights = present_rights(tx.connection(), user)?;
        let chosen = choose(tx.connection(), &rights, project.as_deref());
        if !still(tx, user, &proof)? {
            return Err(if matches!(proof, Proof::Password(_)) { wrong() } else { over() });
        }
        let project = chosen?;
        // spent only now: a refused project must not log anybody out; and only one of two at once gets the next
        if let Proof::Refresh(spent) = &proof
            && records::forget_secret(tx.connection(), spent)? == 0
        {
            return Err(over());
        }
        let owner = format!("refresh:{user}:{}", password::digest(&kept));
        records::set_secret(tx.connection(), &owner, &kept, made.plus_seconds(REFRESH_S))?;
        let (root, operator, refresh) = (root.clone(), rights.is_operator(), Some(kept.clone()));
        let (who, ends) = (Principal::User(user), None);
        noted.theirs(tx, &who, made)?;
        Ok(Grounds { who, root, made, ends, project, operator, refresh })
    };
    database.write(&service_subject(cirro_models::Service::Identity), Some(note), give).await
}

/// Whether the person may still log in with what they have proven: a password may have been changed since.
fn still(tx: &mut Tx<'_>, user: Id<User>, proof: &Proof) -> Result<bool> {
    if !tx.find::<User>(user)?.is_some_and(|user| user.enabled) {
        return Ok(false);
    }
    match proof {
        Proof::Password(hash) => Ok(records::password_of(tx.connection(), user)?.as_ref() == Some(hash)),
        Proof::Refresh(_) => Ok(true),
    }
}

/// The project to work in, and the highest role there.
fn choose(c: &mut AnyConnection, rights: &Rights, wanted: Option<&str>) -> Result<Option<(Id<Project>, Role)>> {
    let Some(wanted) = wanted else {
        return Ok(match rights.projects()[..] {
            [only] => rights.highest(only).map(|role| (only, role)),
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
        one::<Project>(c, &ProjectFilter { name: Some(name), ..ProjectFilter::default() })?
    };
    let project = project.ok_or_else(refuse)?.id;
    let role = rights.highest(project).or_else(|| rights.is_operator().then_some(Role::Admin)).ok_or_else(refuse)?;
    Ok(Some((project, role)))
}

async fn api_key(
    database: &Database,
    signer: Arc<Signer>,
    id: Id<ApiKey>,
    secret: Secret,
    noted: Noted,
) -> Result<Grounds> {
    // with Basic, the whole text is the password; keys of earlier releases had the proof alone
    let secret = KeySecret::read(secret.expose()).filter(|key| key.id == id).map_or(secret, |key| key.proof);
    let note = noted.note.clone();
    let give = move |tx: &mut Tx<'_>| {
        if !records::is_secret_of(tx.connection(), &format!("key:{id}"), &secret)? {
            return Err(wrong());
        }
        let key = tx.find::<ApiKey>(id)?.ok_or_else(wrong)?;
        let (who, root) = (Principal::ApiKey(id, key.user_id), Principal::User(key.user_id).to_string());
        // in the order in which `revoke` goes; then asked again, as either may have just ended
        signer.moment(tx, &who.to_string())?;
        let made = signer.moment(tx, &root)?;
        let good = records::is_secret_of(tx.connection(), &format!("key:{id}"), &secret)?;
        if !good || !tx.find::<User>(key.user_id)?.is_some_and(|user| user.enabled) {
            return Err(wrong());
        }
        // the key's own limit and what its user may do now: the lesser of the two
        let rights = present_rights(tx.connection(), key.user_id)?;
        let held = rights.highest(key.project_id).or_else(|| rights.is_operator().then_some(Role::Admin));
        let held = held.ok_or_else(|| Error::forbidden("the key's user has no role in its project any more"))?;
        let role = if held.rank() < key.role.rank() { held } else { key.role.clone() };
        let project = Some((key.project_id, role));
        noted.theirs(tx, &who, made)?;
        Ok(Grounds { who, root, made, ends: Some(key.expires_at), project, operator: false, refresh: None })
    };
    database.write(&service_subject(cirro_models::Service::Identity), Some(note), give).await
}

async fn node(database: &Database, signer: Arc<Signer>, id: &str, secret: Secret, noted: Noted) -> Result<Grounds> {
    let who = Principal::Node(id.parse().map_err(|_| wrong())?);
    let note = noted.note.clone();
    let give = move |tx: &mut Tx<'_>| {
        let root = who.to_string();
        let made = signer.moment(tx, &root)?;
        if !records::is_secret_of(tx.connection(), &root, &secret)? {
            return Err(wrong());
        }
        noted.theirs(tx, &who, made)?;
        Ok(Grounds { who: who.clone(), root, made, ends: None, project: None, operator: false, refresh: None })
    };
    database.write(&service_subject(cirro_models::Service::Identity), Some(note), give).await
}
