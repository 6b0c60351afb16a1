//! `cirro key`: API keys.

use crate::{
    failure::Failure,
    nouns::{Noun, grant::project},
    quantity, resolve,
    site::Site,
    table::Column,
    verbs::{Create, Delete, LabelChanges, Labelled, Labels, List, Request, Show, Update},
};
use cirro_models::{
    Name, Role, Timestamp,
    identity::{
        ApiKey,
        api_key::{ApiKeyFilter, ApiKeyPatch, NewApiKey},
    },
};
use clap::{Args, Subcommand};
use std::time::Duration;

impl Noun for ApiKey {
    const WORD: &'static str = "key";
    const NAME: Option<fn(&Self) -> &Name> = Some(|key| &key.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |key, _| key.name.to_string()),
        Column("PROJECT", |key, names| names.name(key.project_id.uuid())),
        Column("ROLE", |key, _| key.role.to_string()),
        Column("EXPIRES", |key, _| key.expires_at.to_string()),
        Column("ID", |key, _| key.id.to_string()),
    ];
    fn named(name: Name) -> Option<ApiKeyFilter> {
        Some(ApiKeyFilter { name: Some(name), ..ApiKeyFilter::default() })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List your keys
    List(List<Narrow>),
    /// Show a key; its secret is shown by `create` only
    Show(Show),
    /// Create a key for a script; prints its secret this one time
    Create(Create<New>),
    /// Change a key's name or labels
    Update(Update<Change>),
    /// Delete keys; what they were used for ends at once
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    /// Only those of this user: for operators
    #[arg(long, value_name = "NAME|ID")]
    user: Option<String>,
    /// Only those for this project
    #[arg(long = "in", value_name = "PROJECT")]
    within: Option<String>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<ApiKeyFilter> for Narrow {
    async fn read(self, site: &Site) -> Result<ApiKeyFilter, Failure> {
        Ok(ApiKeyFilter {
            user_id: resolve::maybe(site, self.user.as_ref()).await?,
            name: self.name,
            project_id: resolve::maybe(site, self.within.as_ref()).await?,
            label: self.label.label,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// The project that it works in; without it, the one that you work in
    #[arg(long = "in", value_name = "PROJECT")]
    within: Option<String>,
    /// The most it may do, whatever you may
    #[arg(long, value_name = "viewer|member|admin", default_value = "member")]
    role: Role,
    /// How long it is good, at most a year: 12h, 90d, 52w
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = quantity::duration)]
    expires_in: Duration,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewApiKey> for New {
    async fn read(self, site: &Site) -> Result<NewApiKey, Failure> {
        let seconds = i64::try_from(self.expires_in.as_secs()).unwrap_or(i64::MAX);
        Ok(NewApiKey {
            name: self.name,
            project_id: project(site, self.within.as_ref()).await?,
            role: self.role,
            expires_at: Timestamp::now().plus_seconds(seconds),
            labels: self.labels.read(),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<ApiKeyPatch> for Change {
    async fn read(self, _: &Site) -> Result<ApiKeyPatch, Failure> {
        Ok(ApiKeyPatch { name: self.name, labels: self.labels.read() })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<ApiKey>(site).await,
            Self::Show(args) => args.run::<ApiKey>(site).await,
            Self::Create(args) => args.run::<ApiKey>(site).await,
            Self::Update(args) => args.run::<ApiKey>(site).await,
            Self::Delete(args) => args.run::<ApiKey>(site).await,
        }
    }
}
