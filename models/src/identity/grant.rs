//! Who may do what where.

use crate::{
    Id, Meta, Model, Role,
    identity::{project::Project, user::User},
};

/// A role that somebody has, in a project or on the site. Removing it invalidates what was derived from it.
#[derive(Model)]
#[model(service = Identity, path = "grant", scope = Project, unique(user_id, project_id, role))]
#[model(create = Admin, read = Viewer, update = Nobody, delete = Admin)]
pub struct Grant {
    /// Its id.
    pub id: Id<Grant>,
    /// Who has the role.
    #[model(create, filter)]
    pub user_id: Id<User>,
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
