//! What somebody may do at present: everything that they were granted.

use crate::controllers::{MANY, groups::GROUPS};
use cirro_models::{
    Error, Id, Reach, Result, Role,
    identity::{Grant, GroupMember, Project, User, grant::GrantFilter, group_member::GroupMemberFilter},
    sql::{AnyConnection, Table},
};

/// Grants that count for one person.
pub(crate) struct Rights(pub(crate) Vec<Grant>);

/// What this user was granted, and every group that they are in.
pub(crate) fn present_rights(c: &mut AnyConnection, user: Id<User>) -> Result<Rights> {
    let mut grants = page(c, &GrantFilter { user_id: Some(user), ..GrantFilter::default() })?;
    let own = GroupMemberFilter { user_id: Some(user), ..GroupMemberFilter::default() };
    let groups = GroupMember::page(c, &own, &Reach::All, None, GROUPS).map_err(Error::internal)?;
    for member in groups {
        grants.extend(page(c, &GrantFilter { group_id: Some(member.group_id), ..GrantFilter::default() })?);
    }
    Ok(Rights(grants))
}

fn page(c: &mut AnyConnection, filter: &GrantFilter) -> Result<Vec<Grant>> {
    Grant::page(c, filter, &Reach::All, None, MANY).map_err(Error::internal)
}

impl Rights {
    /// Whether they run the site.
    pub(crate) fn is_operator(&self) -> bool {
        self.0.iter().any(|grant| grant.project_id.is_none() && grant.role == Role::Operator)
    }
    /// The highest role in a project.
    pub(crate) fn highest(&self, project: Id<Project>) -> Option<Role> {
        let here = self.0.iter().filter(|grant| grant.project_id == Some(project));
        here.map(|grant| grant.role.clone()).max_by_key(Role::rank)
    }
    /// The projects in which they have a role.
    pub(crate) fn projects(&self) -> Vec<Id<Project>> {
        let mut projects: Vec<_> = self.0.iter().filter_map(|grant| grant.project_id).collect();
        projects.sort_unstable();
        projects.dedup();
        projects
    }
}
