//! Keys for scripts.

use crate::{
    Id, Meta, Model, Name, Role, Timestamp,
    identity::{project::Project, user::User},
};

/// A key that a script uses in a person's name, in one project, with at most one role, until it expires. Its secret is
/// shown as `Authorization: Bearer` like a token: see [`KeySecret`](crate::identity::KeySecret).
#[derive(Model)]
#[model(service = Identity, path = "apikey", scope = Own(user_id), unique(user_id, name))]
#[model(create = Anyone, read = Anyone, update = Anyone, delete = Anyone)]
#[model(once(secret: Secret))]
pub struct ApiKey {
    /// Its id.
    pub id: Id<ApiKey>,
    /// Whose key it is.
    #[model(filter)]
    pub user_id: Id<User>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// The project that it works in.
    #[model(create, filter)]
    pub project_id: Id<Project>,
    /// The most it may do there, whatever its user may.
    #[model(create)]
    pub role: Role,
    /// When it ends; at most a year ahead.
    #[model(create)]
    pub expires_at: Timestamp,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
