//! The site that a command talks to: its address, and a login that stays good for as long as the command takes.

use crate::{
    args::Global,
    failure::Failure,
    heard::Heard,
    out::{self, Format},
    profile::{Folder, HeldToken, Profile},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cirro_client::{Http, Login, refreshed};
use cirro_models::{
    Context, Error, Id, Page, Result, Stores, Timestamp, Trace, Verbs,
    identity::{KeySecret, Project, Secret, project::ProjectFilter, token::Token},
};
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Mutex;

/// The address of a site that `cirro up` runs on this machine.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:7070";
/// How long before its end a token is replaced, in seconds.
const EARLY_S: i64 = 30;

/// What a verb answered, and the JSON that it came as.
pub(crate) struct Said<T> {
    /// The answer.
    pub(crate) value: T,
    /// Exactly what the API said.
    pub(crate) json: Value,
}

/// Where tokens come from.
enum Source {
    /// `CIRRO_TOKEN`: there is no other.
    Environment,
    /// An API key in `CIRRO_TOKEN`, which gets tokens for as long as it is good.
    Key(KeySecret),
    /// The profile.
    Profile(Folder),
}

/// The site that a command talks to.
pub(crate) struct Site {
    http: Arc<Http>,
    heard: Arc<Heard>,
    stores: Arc<Stores>,
    source: Source,
    project: Option<String>,
    held: Mutex<Option<HeldToken>>,
    checked: AtomicBool,
    format: Format,
    /// All calls of one command are one story.
    request_id: String,
    trace: Trace,
}

/// The address of the site: what was asked for, else the profile's, else this machine.
pub(crate) fn address(global: &Global, profile: Option<&Profile>) -> String {
    let url = global.url().or(profile.map(|profile| profile.url.as_str()).filter(|url| !url.is_empty()));
    url.unwrap_or(DEFAULT_URL).trim_end_matches('/').to_owned()
}

/// A client of this address. A password or token that crosses a network in the clear is no secret any more.
pub(crate) fn client(url: &str, ca_file: Option<&std::path::Path>) -> Result<Http> {
    if let Some(rest) = url.strip_prefix("http://") {
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let host = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        if host != "localhost" && !address.is_ok_and(|address| address.is_loopback()) {
            return Err(Error::invalid(
                "url",
                format!("{url} would send your login in the clear: use https:// (http:// is for this machine only)"),
            ));
        }
    }
    Http::new(url, ca_file)
}

impl Site {
    /// Opens the site that the arguments, the environment and the profile name. Nothing is asked of it yet.
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        let given = std::env::var("CIRRO_TOKEN").ok().filter(|token| !token.is_empty());
        let folder = Folder::find();
        // a script that brings its own token needs no profile, nor even a home
        let profile = match &folder {
            Ok(folder) => folder.read(),
            Err(_) => Ok(None),
        };
        let profile = if given.is_some() { profile.unwrap_or_default() } else { profile? };
        let url = address(global, profile.as_ref());
        let own = profile.filter(|profile| profile.is_at(&url));
        let ca_file = global.ca_file().or(own.as_ref().and_then(|profile| profile.ca_file.as_deref()));
        let http = Arc::new(client(&url, ca_file)?);
        let heard = Arc::new(Heard::new(http.clone()));
        let stores = Arc::new(Stores::default().elsewhere(heard.clone()));
        let asked = global.project().map(str::to_owned);
        let (source, project, held) = if let Some(key) = given.as_deref().and_then(KeySecret::read) {
            (Source::Key(key), asked, None)
        } else if let Some(token) = given {
            (Source::Environment, asked, Some(from_environment(&token)))
        } else {
            let profile = own.ok_or_else(|| not_logged_in(&url))?;
            let project = asked.or_else(|| profile.project.clone());
            let held = profile.tokens.get(project.as_deref().unwrap_or_default()).cloned();
            (Source::Profile(folder?), project, held)
        };
        Ok(Self {
            http,
            heard,
            stores,
            source,
            project,
            held: Mutex::new(held),
            checked: AtomicBool::new(false),
            format: global.output(),
            request_id: request_id()?,
            trace: Trace::begin(),
        })
    }
    /// The client, for what is no model's verb.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }
    /// Whether results are printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Runs a verb; once more with a fresh login if the site no longer takes the one at hand. With `key`, what it does
    /// has one effect, however often it is sent.
    pub(crate) async fn call<T, F>(&self, key: Option<&str>, verb: impl Fn(Context) -> F) -> Result<Said<T>, Failure>
    where
        F: Future<Output = Result<T>>,
    {
        let keyed = |ctx: Context| key.map_or_else(|| ctx.clone(), |key| ctx.clone().keyed(key));
        let mut ctx = keyed(self.context().await?);
        let mut answer = verb(ctx.clone()).await;
        if matches!(answer, Err(Error::Unauthenticated { .. })) && !matches!(self.source, Source::Environment) {
            ctx = keyed(self.renewed().await?);
            answer = verb(ctx.clone()).await;
        }
        let json = self.heard.take();
        answer.map(|value| Said { value, json }).map_err(|error| Failure::of(error, ctx.request_id()))
    }
    /// A context whose token is good for a while yet.
    pub(crate) async fn context(&self) -> Result<Context, Failure> {
        let token = self.token().await?.token;
        Ok(self.asking(token))
    }
    /// A context with a token that is newer than the one at hand.
    pub(crate) async fn renewed(&self) -> Result<Context, Failure> {
        let mut held = self.held.lock().await;
        let fresh = self.renew(held.take()).await?;
        let token = held.insert(fresh).token.clone();
        Ok(self.asking(token))
    }
    fn asking(&self, token: Secret) -> Context {
        Context::client(self.stores.clone(), Some(token)).named(self.request_id.clone()).in_trace(self.trace)
    }
    /// The project that the command works in.
    pub(crate) async fn own_project(&self) -> Result<Option<Id<Project>>, Failure> {
        Ok(self.token().await?.project_id)
    }
    /// A token that is good for a while yet.
    pub(crate) async fn token(&self) -> Result<HeldToken, Failure> {
        let mut held = self.held.lock().await;
        let good = |token: &HeldToken| token.expires_at > Timestamp::now().plus_seconds(EARLY_S);
        match (&*held, &self.source) {
            (Some(token), Source::Environment) => {
                self.check_project(token).await?;
                Ok(token.clone())
            }
            (Some(token), _) if good(token) => Ok(token.clone()),
            _ => {
                let fresh = self.renew(held.take()).await?;
                if let Source::Key(_) = self.source {
                    self.check_project(&fresh).await?;
                }
                Ok(held.insert(fresh).clone())
            }
        }
    }

    /// A script's token works in one project: being asked for another must not end in the wrong one.
    async fn check_project(&self, token: &HeldToken) -> Result<(), Failure> {
        let asked = self.project.as_deref().filter(|_| !self.checked.load(Ordering::Relaxed));
        let Some(asked) = asked else { return Ok(()) };
        let own = token.project_id;
        let same = if let Ok(id) = asked.parse::<Id<Project>>() {
            Some(id) == own
        } else {
            let ctx = self.asking(token.token.clone());
            let filter = ProjectFilter { name: Some(asked.parse()?), ..ProjectFilter::default() };
            let found = Project::list(&ctx, &filter, &Page::default()).await;
            let found = found.map_err(|error| Failure::of(error, ctx.request_id()))?;
            found.items.iter().any(|project| Some(project.id) == own)
        };
        if same {
            self.checked.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(Failure::usage(format!(
            "CIRRO_TOKEN is not for project {asked}: get one with `cirro --project {asked} token` or `cirro key create --in {asked}`, or leave the project out"
        )))
    }

    async fn renew(&self, old: Option<HeldToken>) -> Result<HeldToken, Failure> {
        let folder = match &self.source {
            Source::Profile(folder) => folder,
            Source::Key(key) => return Ok(from_key(&self.http, key).await?),
            Source::Environment => {
                return Err(Error::unauthenticated(
                    "the token in CIRRO_TOKEN is not accepted: get a new one with `cirro token`",
                )
                .into());
            }
        };
        // Held over the call on purpose: it keeps this person's other commands from spending the same refresh secret.
        let lock = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || folder.lock()).await.map_err(Error::internal)??
        };
        let mut profile = folder
            .read()?
            .filter(|profile| profile.is_at(self.http.base()))
            .ok_or_else(|| not_logged_in(self.http.base()))?;
        let key = self.project.clone().unwrap_or_default();
        let good = |token: &&HeldToken| token.expires_at > Timestamp::now().plus_seconds(EARLY_S);
        if let Some(newer) = profile.tokens.get(&key).filter(good)
            && old.as_ref().is_none_or(|old| old.token != newer.token)
        {
            return Ok(newer.clone());
        }
        let outcome = fresh(&self.http, &mut profile, self.project.clone()).await;
        let held = outcome.map(|token| take_over(&mut profile, key, token));
        // also after a failure: a spent refresh secret must not be tried again
        if let Err(failure) = folder.write(&profile) {
            out::note(&format!("cirro: {}", failure.sentence()));
        }
        drop(lock);
        held.map_err(Failure::from)
    }
}

/// Under which id the command's calls are found in logs: the one that was asked for, or a new one.
fn request_id() -> Result<String, Failure> {
    let Some(given) = std::env::var("CIRRO_REQUEST_ID").ok().filter(|id| !id.is_empty()) else {
        return Ok(uuid::Uuid::now_v7().to_string());
    };
    // what services take up
    let plain = given.len() <= 64 && given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain {
        return Ok(given);
    }
    Err(Failure::usage("CIRRO_REQUEST_ID is no request id: use up to 64 letters, digits, -, _ and ."))
}

/// Puts a token that was just got into the profile.
pub(crate) fn take_over(profile: &mut Profile, key: String, token: Token) -> HeldToken {
    profile.refresh.clone_from(&token.refresh);
    let held = HeldToken::from(token);
    let now = Timestamp::now();
    profile.tokens.retain(|_, token| token.expires_at > now);
    profile.tokens.insert(key, held.clone());
    held
}

/// A new token for a key.
async fn from_key(http: &Http, key: &KeySecret) -> Result<HeldToken> {
    let login = Login { name: key.id.to_string(), secret: key.text(), project: None };
    let refused = |error: Error| match error {
        Error::Unauthenticated { .. } => Error::unauthenticated(
            "the API key in CIRRO_TOKEN is not known, has expired or was deleted: make another with `cirro key create`",
        ),
        other => other,
    };
    login.token(http).await.map(HeldToken::from).map_err(refused)
}

/// A new token: by the refresh secret, else by the password that is kept.
async fn fresh(http: &Http, profile: &mut Profile, project: Option<String>) -> Result<Token> {
    if let Some(refresh) = profile.refresh.clone() {
        match refreshed(http, &refresh, project.clone()).await {
            Err(Error::Unauthenticated { .. }) => profile.refresh = None,
            other => return other,
        }
    }
    match (&profile.user, &profile.password) {
        (Some(user), Some(password)) => {
            let login = Login { name: user.clone(), secret: password.clone(), project };
            login.token(http).await
        }
        _ => Err(not_logged_in_error(http.base())),
    }
}

fn not_logged_in_error(url: &str) -> Error {
    Error::unauthenticated(format!("you are not logged in at {url}, or not any more: run `cirro login --url {url}`"))
}
fn not_logged_in(url: &str) -> Failure {
    not_logged_in_error(url).into()
}

/// A token of which only its own claims are known. They are not verified here: the services do that.
fn from_environment(token: &str) -> HeldToken {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    HeldToken {
        token: Secret::new(token),
        expires_at: Timestamp::from_micros(claims["exp"].as_i64().unwrap_or_default().saturating_mul(1_000_000)),
        project_id: claims["project"].as_str().and_then(|id| id.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_crosses_no_network_in_the_clear() {
        for fine in ["http://127.0.0.1:7070", "http://localhost", "http://[::1]:7070", "https://cloud.example"] {
            assert!(client(fine, None).is_ok(), "{fine}");
        }
        for refused in [
            "http://10.0.0.1:7070",
            "http://cloud.example",
            "http://localhost.example:1",
            "http://[2001:db8::1]",
            "ftp://x",
            "",
        ] {
            assert!(client(refused, None).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_project_of_a_given_token_is_read_from_it() {
        let id = Id::<Project>::new();
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"project\":\"{id}\",\"exp\":2000000000}}"));
        let held = from_environment(&format!("x.{claims}.y"));
        assert_eq!((held.project_id, held.expires_at.micros()), (Some(id), 2_000_000_000_000_000));
        assert_eq!(from_environment("nonsense").project_id, None);
    }
}
