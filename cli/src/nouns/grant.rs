//! `cirro grant`.

use crate::{
    failure::Failure,
    nouns::Noun,
    resolve,
    site::Site,
    table::Column,
    verbs::{Create, Delete, Labelled, Labels, List, Request, Show},
};
use cirro_models::{
    Id, Name, Role,
    identity::{
        Grant,
        grant::{GrantFilter, NewGrant},
    },
};
use clap::{Args, Subcommand};

impl Noun for Grant {
    const WORD: &'static str = "grant";
    const NAME: Option<fn(&Self) -> &Name> = None;
    const COLUMNS: &'static [Column<Self>] = &[
        Column("WHO", |grant, names| {
            let group = grant.group_id.map(|id| format!("group {}", names.name(id.uuid())));
            group.unwrap_or_else(|| names.maybe(grant.user_id.map(cirro_models::Id::uuid)))
        }),
        Column("ROLE", |grant, _| grant.role.to_string()),
        Column("WHERE", |grant, names| grant.project_id.map_or_else(|| "the site".into(), |id| names.name(id.uuid()))),
        Column("ID", |grant, _| grant.id.to_string()),
    ];
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List grants: who has which role where
    List(List<Narrow>),
    /// Show a grant
    Show(Show),
    /// Give somebody, or a group, a role: in your project, in another, or on the site
    Create(Create<New>),
    /// Take roles away; what was derived from them ends at once
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only those of this user
    #[arg(long, value_name = "NAME|ID")]
    user: Option<String>,
    /// Only those of this group
    #[arg(long, value_name = "NAME|ID")]
    group: Option<String>,
    /// Only those in this project
    #[arg(long = "in", value_name = "PROJECT")]
    within: Option<String>,
    /// Only those with this role
    #[arg(long)]
    role: Option<Role>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<GrantFilter> for Narrow {
    async fn read(self, site: &Site) -> Result<GrantFilter, Failure> {
        Ok(GrantFilter {
            user_id: resolve::maybe(site, self.user.as_ref()).await?,
            group_id: resolve::maybe(site, self.group.as_ref()).await?,
            project_id: resolve::maybe(site, self.within.as_ref()).await?,
            role: self.role,
            label: self.label.label,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// Who gets the role
    #[arg(long, value_name = "NAME|ID", required_unless_present = "group")]
    user: Option<String>,
    /// The group whose members get the role
    #[arg(long, value_name = "NAME|ID", conflicts_with = "user")]
    group: Option<String>,
    /// viewer reads; member also creates, changes and deletes; admin also grants; operator runs the site
    #[arg(long, value_name = "viewer|member|admin|operator")]
    role: Role,
    /// The project; without it, the one that you work in
    #[arg(long = "in", value_name = "PROJECT", conflicts_with = "site")]
    within: Option<String>,
    /// On the site instead of in a project: for operators
    #[arg(long)]
    site: bool,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewGrant> for New {
    async fn read(self, site: &Site) -> Result<NewGrant, Failure> {
        let project_id = if self.site { None } else { Some(project(site, self.within.as_ref()).await?) };
        let user_id = resolve::maybe(site, self.user.as_ref()).await?;
        let group_id = resolve::maybe(site, self.group.as_ref()).await?;
        Ok(NewGrant { user_id, group_id, project_id, role: self.role, labels: self.labels.read() })
    }
}

/// The project of this name, or the one that the command works in.
pub(crate) async fn project(
    site: &Site,
    given: Option<&String>,
) -> Result<Id<cirro_models::identity::Project>, Failure> {
    match given {
        Some(given) => resolve::id(site, given).await,
        None => site.own_project().await?.ok_or_else(|| {
            Failure::usage("you work in no project: name one with --in PROJECT, or log in with --project PROJECT")
        }),
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<Grant>(site).await,
            Self::Show(args) => args.run::<Grant>(site).await,
            Self::Create(args) => args.run::<Grant>(site).await,
            Self::Delete(args) => args.run::<Grant>(site).await,
        }
    }
}
