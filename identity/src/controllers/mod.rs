//! The operations on users, projects, grants and keys, where they differ from the defaults.

mod api_keys;
mod grants;
mod projects;
mod revocations;
mod token_keys;
mod users;

pub(crate) use api_keys::ApiKeys;
pub(crate) use grants::Grants;
pub(crate) use projects::Projects;
pub(crate) use revocations::Revocations;
pub(crate) use token_keys::TokenKeys;
pub(crate) use users::Users;

use cirro_models::{
    Error, Id, Result, Role,
    identity::{Grant, User, grant::GrantFilter},
};
use cirro_server::Tx;

/// More grants than one user or project is ever expected to have.
pub(crate) const MANY: i64 = 10_000;

/// Held by every transaction that takes an Operator away, so that the last two can't both go at the same moment.
const OPERATORS: i64 = 0x1de_0001;

/// Refuses to take the site's last Operator away.
pub(crate) fn require_other_operator(tx: &mut Tx<'_>, going: Id<User>) -> Result<()> {
    tx.exclusive(OPERATORS)?;
    let grants: Vec<Grant> = tx.list(&GrantFilter { role: Some(Role::Operator), ..GrantFilter::default() }, MANY)?;
    if !grants.iter().any(|grant| grant.user_id == going) {
        return Ok(());
    }
    for grant in grants.iter().filter(|grant| grant.user_id != going) {
        if tx.find::<User>(grant.user_id)?.is_some_and(|user| user.enabled) {
            return Ok(());
        }
    }
    Err(Error::conflict("this is the site's last operator: grant the role operator to somebody else first"))
}
