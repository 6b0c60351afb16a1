//! The operations on users, projects, grants and keys, where they differ from the defaults.

mod api_keys;
mod grants;
pub(crate) mod groups;
mod join_tokens;
mod projects;
mod revocations;
mod token_keys;
mod users;

pub(crate) use api_keys::ApiKeys;
pub(crate) use grants::Grants;
pub(crate) use groups::{GroupMembers, Groups};
pub(crate) use join_tokens::JoinTokens;
pub(crate) use projects::Projects;
pub(crate) use revocations::Revocations;
pub(crate) use token_keys::TokenKeys;
pub(crate) use users::Users;

use cirro_models::{
    Error, Result, Role,
    identity::{Grant, User, grant::GrantFilter},
};
use cirro_server::Tx;

/// More grants than one user or project is ever expected to have.
pub(crate) const MANY: i64 = 10_000;

/// Held by every transaction that takes an Operator away, so that the last two can't both go at the same moment.
const OPERATORS: i64 = 0x1de_0001;

/// Runs a change that may take an Operator away, and refuses it if it has taken the last one.
pub(crate) fn keep_an_operator<T>(tx: &mut Tx<'_>, change: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
    tx.exclusive(OPERATORS)?;
    let before = has_operator(tx)?;
    let done = change(tx)?;
    if before && !has_operator(tx)? {
        return Err(Error::conflict(
            "this is the site's last operator: grant the role operator to somebody else first",
        ));
    }
    Ok(done)
}

/// Whether somebody who may log in is an Operator, by a grant of their own or a group's.
fn has_operator(tx: &mut Tx<'_>) -> Result<bool> {
    let enabled =
        |tx: &mut Tx<'_>, user| -> Result<bool> { Ok(tx.find::<User>(user)?.is_some_and(|user| user.enabled)) };
    for grant in tx.list::<Grant>(&GrantFilter { role: Some(Role::Operator), ..GrantFilter::default() }, MANY)? {
        if let Some(user) = grant.user_id
            && enabled(tx, user)?
        {
            return Ok(true);
        }
        let members = grant.group_id.map(|group| groups::members(tx, group)).transpose()?.unwrap_or_default();
        for member in members {
            if enabled(tx, member.user_id)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
