//! People who may do the same.

use crate::{Id, Meta, Model, Name};

/// People who are granted roles together: whoever is in a group has what it was granted. Everybody may know that there is
/// one, so that a project's admin can grant it something; who is in it is not told.
#[derive(Model)]
#[model(service = Identity, path = "group", scope = Site, unique(name))]
#[model(create = Operator, read = Anyone, update = Operator, delete = Operator)]
pub struct Group {
    /// Its id.
    pub id: Id<Group>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// What it is for.
    #[model(create, update)]
    pub description: Option<String>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
