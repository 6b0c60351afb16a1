//! People.

use crate::{Id, Meta, Model, Name, identity::Secret};

/// A person who may log in.
#[derive(Model)]
#[model(service = Identity, path = "user", scope = Own(id), unique(name))]
#[model(create = Operator, read = Anyone, update = Anyone, delete = Operator)]
#[model(input(password: Option<Secret>, create, update))]
pub struct User {
    /// Their id.
    pub id: Id<User>,
    /// What they log in as.
    #[model(create, update, filter)]
    pub name: Name,
    /// What they are called.
    #[model(create, update)]
    pub full_name: Option<String>,
    /// Whether they may log in; switching it off ends what they hold at once.
    #[model(create, update, filter, default = true)]
    pub enabled: bool,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
