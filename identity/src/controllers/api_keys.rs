//! Keys for scripts: the secret is told once and kept as a hash.

use crate::{password, records, rights::present_rights, signer::Signer};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, Principal, Result, Timestamp,
    identity::{
        ApiKey, KeySecret, Project,
        api_key::{ApiKeyPatch, NewApiKey},
    },
};
use cirro_server::{Controller, OwnerContext};

/// The longest life of a key.
const LONGEST_S: i64 = 366 * 24 * 3600;

pub(crate) struct ApiKeys;

#[async_trait]
impl Controller<ApiKey> for ApiKeys {
    async fn create(&self, ctx: &Context, draft: ApiKey, _: NewApiKey) -> Result<Created<ApiKey>> {
        ctx.require_unscoped()?;
        let now = Timestamp::now();
        if draft.expires_at <= now || draft.expires_at > now.plus_seconds(LONGEST_S) {
            return Err(Error::invalid("expires_at", "give a moment in the future, at most a year ahead"));
        }
        if draft.role == cirro_models::Role::Operator {
            return Err(Error::invalid("role", "a key works in a project: give viewer, member or admin"));
        }
        let secret = KeySecret { id: draft.id, proof: password::random_secret()? };
        let is_operator = ctx.subject().is_operator();
        let told = secret.text();
        let write = move |tx: &mut cirro_server::Tx<'_>| {
            if is_operator && tx.find::<Project>(draft.project_id)?.is_none() {
                return Err(Error::invalid("project_id", "there is no such project: see `cirro project list`"));
            }
            let held = present_rights(tx.connection(), draft.user_id)?.highest(draft.project_id);
            if held.is_none_or(|held| held.rank() < draft.role.rank()) && !is_operator {
                return Err(Error::forbidden(format!(
                    "a key can't do more than you: you do not have the role {} there",
                    draft.role
                )));
            }
            records::set_secret(tx.connection(), &format!("key:{}", draft.id), &secret.proof, draft.expires_at)?;
            tx.tell_once("secret", &secret.text());
            tx.insert(&draft).map(|()| draft.clone())
        };
        let key = ctx.write(write).await?;
        Ok(Created::from(key).once("secret", told))
    }

    async fn update(
        &self,
        ctx: &Context,
        current: ApiKey,
        patch: ApiKeyPatch,
        version: Option<Generation>,
    ) -> Result<ApiKey> {
        ctx.require_unscoped()?;
        ctx.write(move |tx| tx.patch(current.id, patch.clone(), version)).await
    }

    async fn delete(&self, ctx: &Context, current: ApiKey) -> Result<Deleted<ApiKey>> {
        ctx.require_unscoped()?;
        let (signer, root) = (ctx.stores().part::<Signer>()?, Principal::ApiKey(current.id, current.user_id));
        let (kept, ended) = (signer.clone(), [root.to_string()].into());
        let ended = ctx
            .write(move |tx| {
                records::forget_secret(tx.connection(), &format!("key:{}", current.id))?;
                let ended = kept.revoke(tx, &ended)?;
                tx.remove(&current).map(|()| ended)
            })
            .await?;
        signer.revoked(&ended);
        Ok(Deleted::Gone)
    }
}
