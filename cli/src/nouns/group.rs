//! `cirro group`.

use crate::{
    failure::Failure,
    nouns::Noun,
    out, resolve,
    site::Site,
    table::Column,
    verbs::{
        Create, Delete, Ending, Key, LabelChanges, Labelled, Labels, List, Request, Show, Update, clearable, create,
        delete,
    },
};
use cirro_models::{
    Id, Name, Page, Verbs,
    identity::{
        Group, GroupMember, User,
        group::{GroupFilter, GroupPatch, NewGroup},
        group_member::{GroupMemberFilter, NewGroupMember},
    },
};
use clap::{Args, Subcommand};

impl Noun for Group {
    const WORD: &'static str = "group";
    const NAME: Option<fn(&Self) -> &Name> = Some(|group| &group.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |group, _| group.name.to_string()),
        Column("DESCRIPTION", |group, _| group.description.clone().unwrap_or_default()),
        Column("ID", |group, _| group.id.to_string()),
    ];
    fn named(name: Name) -> Option<GroupFilter> {
        Some(GroupFilter { name: Some(name), ..GroupFilter::default() })
    }
}

impl Noun for GroupMember {
    const WORD: &'static str = "member";
    const NAME: Option<fn(&Self) -> &Name> = None;
    const COLUMNS: &'static [Column<Self>] = &[
        Column("USER", |member, names| names.name(member.user_id.uuid())),
        Column("GROUP", |member, names| names.name(member.group_id.uuid())),
        Column("ID", |member, _| member.id.to_string()),
    ];
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List groups
    List(List<Narrow>),
    /// Show a group
    Show(Show),
    /// Create a group; it is empty, and may do nothing yet
    Create(Create<New>),
    /// Change a group's name or description
    Update(Update<Change>),
    /// Delete groups with what they were granted; what their members had from them ends at once
    Delete(Delete),
    /// List who is in a group; you see yourself, operators see everybody
    Members(List<Of>),
    /// Put people into a group
    Add(Place),
    /// Take people out of a group; what they had from it ends at once
    Remove(Place),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<GroupFilter> for Narrow {
    async fn read(self, _: &Site) -> Result<GroupFilter, Failure> {
        Ok(GroupFilter { name: self.name, label: self.label.label })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The group's name or id
    group: String,
}
impl Request<GroupMemberFilter> for Of {
    async fn read(self, site: &Site) -> Result<GroupMemberFilter, Failure> {
        let group_id = Some(resolve::id(site, &self.group).await?);
        Ok(GroupMemberFilter { group_id, ..GroupMemberFilter::default() })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewGroup> for New {
    async fn read(self, _: &Site) -> Result<NewGroup, Failure> {
        Ok(NewGroup { name: self.name, description: self.description, labels: self.labels.read() })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    /// What it is for; empty removes it
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<GroupPatch> for Change {
    async fn read(self, _: &Site) -> Result<GroupPatch, Failure> {
        Ok(GroupPatch { name: self.name, description: clearable(self.description), labels: self.labels.read() })
    }
}

/// People and a group.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The group's name or id
    group: String,
    /// Who: names or ids
    #[arg(value_name = "USER", required = true)]
    users: Vec<String>,
    #[command(flatten)]
    key: Key,
}

impl Place {
    /// All names first: a mistyped one must not leave the others half done.
    async fn read(&self, site: &Site) -> Result<(Id<Group>, Vec<Id<User>>), Failure> {
        let group = resolve::id(site, &self.group).await?;
        let mut users = Vec::new();
        for user in &self.users {
            users.push(resolve::id(site, user).await?);
        }
        Ok((group, users))
    }
    async fn add(self, site: &Site) -> Result<(), Failure> {
        let (group_id, users) = self.read(site).await?;
        for (user, user_id) in self.users.iter().zip(users) {
            let new = NewGroupMember { group_id, user_id, labels: cirro_models::Labels::new() };
            let said = create::<GroupMember>(site, new, &self.key, None).await?;
            if site.is_json() {
                out::json(&said.json)?;
            } else {
                out::text(&crate::escape::line(&format!("user {user} is in group {}", self.group)))?;
            }
        }
        Ok(())
    }
    async fn remove(self, site: &Site) -> Result<(), Failure> {
        let (group_id, users) = self.read(site).await?;
        for (user, user_id) in self.users.iter().zip(users) {
            let filter =
                &GroupMemberFilter { group_id: Some(group_id), user_id: Some(user_id), ..GroupMemberFilter::default() };
            let found = |ctx| async move { GroupMember::list(&ctx, filter, &Page::default()).await };
            let found = site.call(None, found).await?.value.items;
            let Some(member) = found.first() else {
                return Err(Failure::failed(format!(
                    "user {user} is not in group {}: there is nothing to remove",
                    self.group
                )));
            };
            let ending = Ending { what: format!("user {user}"), done: "removed from the group" };
            delete(site, &ending, member.id, &self.key, None).await?;
        }
        Ok(())
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<Group>(site).await,
            Self::Show(args) => args.run::<Group>(site).await,
            Self::Create(args) => args.run::<Group>(site).await,
            Self::Update(args) => args.run::<Group>(site).await,
            Self::Delete(args) => args.run::<Group>(site).await,
            Self::Members(args) => args.run::<GroupMember>(site).await,
            Self::Add(args) => args.add(site).await,
            Self::Remove(args) => args.remove(site).await,
        }
    }
}
