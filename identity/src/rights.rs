//! What somebody may do at present: everything that they were granted.

use crate::controllers::MANY;
use cirro_models::{
    Error, Id, Reach, Result, Role,
    identity::{Grant, Project, User, grant::GrantFilter},
    sql::{AnyConnection, Table},
};

/// Grants that count for one person.
pub(crate) struct Rights(pub(crate) Vec<Grant>);

/// What this user was granted.
pub(crate) fn present_rights(c: &mut AnyConnection, user: Id<User>) -> Result<Rights> {
    let own = GrantFilter { user_id: Some(user), ..GrantFilter::default() };
    Grant::page(c, &own, &Reach::All, None, MANY).map(Rights).map_err(Error::internal)
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
