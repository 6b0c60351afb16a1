//! `cirro user`.

use crate::{
    failure::Failure,
    input,
    nouns::{Noun, yes},
    out,
    profile::Folder,
    resolve,
    site::Site,
    table::{self, Column},
    verbs::{
        Create, Delete, Key, LabelChanges, Labelled, Labels, List, Request, Show, Update, clearable, show, update,
    },
};
use cirro_models::{
    Name,
    identity::{
        User,
        user::{NewUser, UserFilter, UserPatch},
    },
};
use clap::{Args, Subcommand};
use serde_json::Value;

impl Noun for User {
    const WORD: &'static str = "user";
    const NAME: Option<fn(&Self) -> &Name> = Some(|user| &user.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |user, _| user.name.to_string()),
        Column("FULL NAME", |user, _| user.full_name.clone().unwrap_or_default()),
        Column("ENABLED", |user, _| yes(user.enabled)),
        Column("ID", |user, _| user.id.to_string()),
    ];
    fn named(name: Name) -> Option<UserFilter> {
        Some(UserFilter { name: Some(name), ..UserFilter::default() })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Who am I, and where may I do what?
    Me,
    /// List users; who is no operator sees only themselves
    List(List<Narrow>),
    /// Show a user
    Show(Show),
    /// Create a user; asks for their password
    Create(Create<New>),
    /// Change a user's name or password
    Update(Update<Change>),
    /// Let a disabled user log in again
    Enable(Switch),
    /// Keep a user from logging in, and end everything they are logged in with
    Disable(Switch),
    /// Delete users
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    /// Only those who may log in, or with `false` only those who may not
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    enabled: Option<bool>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<UserFilter> for Narrow {
    async fn read(self, _: &Site) -> Result<UserFilter, Failure> {
        Ok(UserFilter { name: self.name, enabled: self.enabled, label: self.label.label })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What they log in as
    #[arg(long)]
    name: Name,
    /// What they are called
    #[arg(long)]
    full_name: Option<String>,
    /// Read their password from the first line of stdin instead of asking
    #[arg(long, conflicts_with = "no_password")]
    password_stdin: bool,
    /// Give them none: they can't log in until they have one
    #[arg(long)]
    no_password: bool,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewUser> for New {
    async fn read(self, _: &Site) -> Result<NewUser, Failure> {
        let password = (!self.no_password).then(|| input::new_password(self.password_stdin)).transpose()?;
        Ok(NewUser { name: self.name, full_name: self.full_name, enabled: None, password, labels: self.labels.read() })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What they log in as from now on
    #[arg(long)]
    name: Option<Name>,
    /// What they are called; empty removes it
    #[arg(long)]
    full_name: Option<String>,
    /// Ask for a new password; it ends everything they are logged in with
    #[arg(long)]
    password: bool,
    /// Read the new password from the first line of stdin instead of asking
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<UserPatch> for Change {
    async fn read(self, _: &Site) -> Result<UserPatch, Failure> {
        let asks = self.password || self.password_stdin;
        Ok(UserPatch {
            name: self.name,
            full_name: clearable(self.full_name),
            enabled: None,
            password: asks.then(|| input::new_password(self.password_stdin)).transpose()?,
            labels: self.labels.read(),
        })
    }
}

/// `enable` and `disable`.
#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// Their name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    #[command(flatten)]
    key: Key,
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::Me => me(site).await,
            Self::List(args) => args.run::<User>(site).await,
            Self::Show(args) => args.run::<User>(site).await,
            Self::Create(args) => args.run::<User>(site).await,
            Self::Update(args) => args.run::<User>(site).await,
            Self::Enable(args) => args.run(site, true).await,
            Self::Disable(args) => args.run(site, false).await,
            Self::Delete(args) => args.run::<User>(site).await,
        }
    }
}

impl Switch {
    async fn run(self, site: &Site, enabled: bool) -> Result<(), Failure> {
        let id = resolve::id::<User>(site, &self.which).await?;
        let patch = UserPatch { enabled: Some(enabled), ..UserPatch::default() };
        show(site, &update::<User>(site, id, patch, &self.key).await?).await
    }
}

async fn me(site: &Site) -> Result<(), Failure> {
    let me = |ctx| async move { site.http().json::<Value>(&ctx, "GET", "/identity/v1/user/me", None::<&()>).await };
    let me = site.call(None, me).await?.value;
    if site.is_json() {
        return out::json(&me);
    }
    let name = |field: &str| me[field]["name"].as_str().unwrap_or("-").to_owned();
    let role = me["role"].as_str().unwrap_or("no role");
    let mut rows = vec![
        ("user".to_owned(), name("user")),
        ("subject".to_owned(), me["subject"].as_str().unwrap_or_default().to_owned()),
        (
            "project".to_owned(),
            if me["project"].is_null() { "-".to_owned() } else { format!("{} ({role})", name("project")) },
        ),
        ("operator".to_owned(), yes(me["operator"].as_bool().unwrap_or_default())),
    ];
    rows.push((
        "profile".to_owned(),
        Folder::find().map(|folder| folder.file().display().to_string()).unwrap_or_default(),
    ));
    out::text(&table::pairs(rows))
}
