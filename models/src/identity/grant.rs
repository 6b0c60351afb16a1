//! Who may do what where.

use crate::{
    Id, Meta, Model, Role,
    identity::{group::Group, project::Project, user::User},
};

/// A role that somebody has, or everybody in a group, in a project or on the site. Removing it invalidates what was derived from it.
#[derive(Model)]
#[model(service = Identity, path = "grant", scope = Project, unique(user_id, project_id, role))]
#[model(create = Admin, read = Viewer, update = Nobody, delete = Admin)]
pub struct Grant {
    /// Its id.
    pub id: Id<Grant>,
    /// Who has the role; or a group has it.
    #[model(create, filter)]
    pub user_id: Option<Id<User>>,
    /// The group whose members have the role.
    #[model(create, filter)]
    pub group_id: Option<Id<Group>>,
    /// Where; the site if absent.
    #[model(create, filter)]
    pub project_id: Option<Id<Project>>,
    /// What they may do there.
    #[model(create, filter)]
    pub role: Role,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
