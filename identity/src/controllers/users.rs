//! People: their passwords are hashed and kept apart; what they hold ends with them.

use crate::{
    controllers::{MANY, groups::GROUPS, keep_an_operator},
    password, records,
    signer::Signer,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, Model, Principal, Result,
    identity::{
        ApiKey, Grant, GroupMember, User,
        api_key::ApiKeyFilter,
        grant::GrantFilter,
        group_member::GroupMemberFilter,
        user::{NewUser, UserPatch},
    },
};
use cirro_server::{Controller, OwnerContext, Tx};

pub(crate) struct Users;

#[async_trait]
impl Controller<User> for Users {
    async fn create(&self, ctx: &Context, draft: User, new: NewUser) -> Result<Created<User>> {
        ctx.require_unscoped()?;
        let hash = match new.password {
            Some(password) => Some(password::hash(password).await?),
            None => None,
        };
        let write = move |tx: &mut Tx<'_>| {
            if let Some(hash) = &hash {
                records::set_password(tx.connection(), draft.id, hash)?;
            }
            tx.insert(&draft).map(|()| draft.clone())
        };
        ctx.write(write).await.map(Into::into)
    }

    async fn update(
        &self,
        ctx: &Context,
        current: User,
        mut patch: UserPatch,
        version: Option<Generation>,
    ) -> Result<User> {
        ctx.require_unscoped()?;
        let is_operator = ctx.subject().is_operator() || ctx.subject().is_service();
        if !is_operator && (patch.name.is_some() || patch.enabled.is_some() || !patch.labels.is_empty()) {
            return Err(Error::forbidden("you may change your own password and full name: the rest is an operator's"));
        }
        let hash = match patch.password.take() {
            Some(password) => Some(password::hash(password).await?),
            None => None,
        };
        let disables = patch.enabled == Some(false);
        let ends = disables || hash.is_some();
        let (id, signer) = (current.id, ctx.stores().part::<Signer>()?);
        let (kept, root) = (signer.clone(), [Principal::User(id).to_string()].into());
        let change = move |tx: &mut Tx<'_>| {
            if let Some(hash) = &hash {
                let stored = tx.get::<User>(id)?.meta.version;
                if version.is_some_and(|version| version != stored) {
                    let kind = User::PATH.to_owned();
                    return Err(Error::Stale { kind, id: id.to_string(), version: stored.get() });
                }
                records::set_password(tx.connection(), id, hash)?;
            }
            let mut ended = Vec::new();
            if ends {
                records::forget_secrets_of(tx.connection(), &format!("refresh:{id}:"))?;
                ended = kept.revoke(tx, &root)?;
            }
            let user = tx.patch_then(id, patch.clone(), version, |user, applied| {
                // a new password is a visible change, though no field shows it
                if hash.is_some() && !applied.changed {
                    user.meta.touch();
                }
                Ok(())
            })?;
            Ok((user, ended))
        };
        let guarded = move |tx: &mut Tx<'_>| if disables { keep_an_operator(tx, &change) } else { change(tx) };
        let (user, ended) = ctx.write(guarded).await?;
        signer.revoked(&ended);
        Ok(user)
    }

    async fn delete(&self, ctx: &Context, current: User) -> Result<Deleted<User>> {
        ctx.require_unscoped()?;
        let signer = ctx.stores().part::<Signer>()?;
        let (kept, root) = (signer.clone(), [Principal::User(current.id).to_string()].into());
        let id = current.id;
        let delete = move |tx: &mut Tx<'_>| {
            keep_an_operator(tx, |tx| {
                for grant in tx.list::<Grant>(&GrantFilter { user_id: Some(id), ..GrantFilter::default() }, MANY)? {
                    tx.remove(&grant)?;
                }
                let own = GroupMemberFilter { user_id: Some(id), ..GroupMemberFilter::default() };
                for member in tx.list::<GroupMember>(&own, GROUPS)? {
                    tx.remove(&member)?;
                }
                for key in tx.list::<ApiKey>(&ApiKeyFilter { user_id: Some(id), ..ApiKeyFilter::default() }, MANY)? {
                    records::forget_secret(tx.connection(), &format!("key:{}", key.id))?;
                    tx.remove(&key)?;
                }
                records::forget_password(tx.connection(), id)?;
                records::forget_secrets_of(tx.connection(), &format!("refresh:{id}:"))?;
                let ended = kept.revoke(tx, &root)?;
                tx.remove(&current).map(|()| ended)
            })
        };
        signer.revoked(&ctx.write(delete).await?);
        Ok(Deleted::Gone)
    }
}
