//! Who may do what where: nobody grants what they do not hold.

use crate::{
    controllers::{
        groups::{hold, members, subjects},
        keep_an_operator,
    },
    signer::Signer,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Principal, Result, Role,
    identity::{Grant, Project, User, grant::NewGrant},
};
use cirro_server::{Controller, OwnerContext};
use std::collections::BTreeSet;

pub(crate) struct Grants;

/// Refuses a role that the granting subject does not hold where it is granted.
fn require_held(ctx: &Context, grant: &Grant) -> Result<()> {
    ctx.require_unscoped()?;
    match (&grant.role, grant.project_id) {
        (Role::Operator, Some(_)) => {
            return Err(Error::invalid("role", "operator is a role on the site: leave project_id out"));
        }
        (role, None) if *role != Role::Operator => {
            return Err(Error::invalid("project_id", format!("{role} is a role in a project: say in which")));
        }
        _ => {}
    }
    let subject = ctx.subject();
    let held = subject.project_role().filter(|(project, _)| Some(*project) == grant.project_id);
    if subject.is_operator() || subject.is_service() || held.is_some_and(|(_, role)| role.rank() >= grant.role.rank()) {
        return Ok(());
    }
    Err(Error::forbidden(format!("nobody grants what they do not hold: you do not have the role {} there", grant.role)))
}

/// The names under which those hold tokens who have a grant; nobody joins its group before this transaction ends.
pub(crate) fn holders(tx: &mut cirro_server::Tx<'_>, grant: &Grant) -> Result<BTreeSet<String>> {
    let mut holders: BTreeSet<_> = grant.user_id.iter().map(|user| Principal::User(*user).to_string()).collect();
    if let Some(group) = grant.group_id {
        hold(tx, group)?;
        holders.extend(subjects(&members(tx, group)?));
    }
    Ok(holders)
}

#[async_trait]
impl Controller<Grant> for Grants {
    async fn create(&self, ctx: &Context, draft: Grant, _: NewGrant) -> Result<Created<Grant>> {
        require_held(ctx, &draft)?;
        let write = move |tx: &mut cirro_server::Tx<'_>| {
            match (draft.user_id, draft.group_id) {
                (Some(user), None) if tx.find::<User>(user)?.is_none() => {
                    return Err(Error::invalid("user_id", format!("there is no user {user}")));
                }
                (None, Some(group)) if !hold(tx, group)? => {
                    return Err(Error::invalid("group_id", format!("there is no group {group}")));
                }
                (Some(_), None) | (None, Some(_)) => {}
                (None, None) => return Err(Error::invalid("user_id", "say who gets the role: a user or a group_id")),
                (Some(_), Some(_)) => {
                    return Err(Error::invalid("group_id", "a role is given to a user or to a group, not to both"));
                }
            }
            if let Some(project) = draft.project_id
                && tx.find::<Project>(project)?.is_none()
            {
                return Err(Error::invalid("project_id", format!("there is no project {project}")));
            }
            tx.insert(&draft).map(|()| draft.clone())
        };
        ctx.write(write).await.map(Into::into)
    }

    async fn delete(&self, ctx: &Context, current: Grant) -> Result<Deleted<Grant>> {
        require_held(ctx, &current)?;
        let signer = ctx.stores().part::<Signer>()?;
        let kept = signer.clone();
        let delete = move |tx: &mut cirro_server::Tx<'_>| {
            keep_an_operator(tx, |tx| {
                let holders = holders(tx, &current)?;
                let ended = kept.revoke(tx, &holders)?;
                tx.remove(&current).map(|()| ended)
            })
        };
        signer.revoked(&ctx.write(delete).await?);
        Ok(Deleted::Gone)
    }
}
