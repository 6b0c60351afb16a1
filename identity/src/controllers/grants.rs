//! Who may do what where: nobody grants what they do not hold.

use crate::{controllers::require_other_operator, signer::Signer};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Principal, Result, Role,
    identity::{Grant, Project, User, grant::NewGrant},
};
use cirro_server::{Controller, OwnerContext};

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

#[async_trait]
impl Controller<Grant> for Grants {
    async fn create(&self, ctx: &Context, draft: Grant, _: NewGrant) -> Result<Created<Grant>> {
        require_held(ctx, &draft)?;
        let write = move |tx: &mut cirro_server::Tx<'_>| {
            if tx.find::<User>(draft.user_id)?.is_none() {
                return Err(Error::invalid("user_id", format!("there is no user {}", draft.user_id)));
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
        let (kept, ended) = (signer.clone(), [Principal::User(current.user_id).to_string()].into());
        let ended = ctx
            .write(move |tx| {
                if current.role == Role::Operator {
                    require_other_operator(tx, current.user_id)?;
                }
                let ended = kept.revoke(tx, &ended)?;
                tx.remove(&current).map(|()| ended)
            })
            .await?;
        signer.revoked(&ended);
        Ok(Deleted::Gone)
    }
}
