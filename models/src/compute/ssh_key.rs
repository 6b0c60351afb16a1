//! Public keys that are put into guests.

use crate::{Id, Meta, Model, Name, identity::Project};

/// A public SSH key, put into the guests that name it at their first boot.
#[derive(Model)]
#[model(service = Compute, path = "sshkey", scope = Project, unique(project_id, name))]
#[model(create = Member, read = Viewer, update = Member, delete = Member)]
pub struct SshKey {
    /// Its id.
    pub id: Id<SshKey>,
    /// The project that may use it.
    pub project_id: Id<Project>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// One line as in `authorized_keys`: type, base64, comment.
    #[model(create)]
    pub public_key: String,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
