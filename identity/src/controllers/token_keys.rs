//! Keys that sign tokens: one more, or one less, at once.

use crate::{keys, signer::Signer};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Result,
    identity::{TokenKey, token_key::NewTokenKey},
};
use cirro_server::{Controller, OwnerContext};

pub(crate) struct TokenKeys;

#[async_trait]
impl Controller<TokenKey> for TokenKeys {
    async fn create(&self, ctx: &Context, draft: TokenKey, _: NewTokenKey) -> Result<Created<TokenKey>> {
        ctx.require_unscoped()?;
        let signer = ctx.stores().part::<Signer>()?;
        let now = signer.clock().now();
        let key = ctx.write(move |tx| keys::rotate(tx, draft.clone(), now)).await?;
        signer.reload(&*ctx.database()?).await?;
        Ok(key.into())
    }

    async fn delete(&self, ctx: &Context, current: TokenKey) -> Result<Deleted<TokenKey>> {
        ctx.require_unscoped()?;
        let signer = ctx.stores().part::<Signer>()?;
        let now = signer.clock().now();
        ctx.write(move |tx| keys::retire(tx, &current, now)).await?;
        signer.reload(&*ctx.database()?).await?;
        Ok(Deleted::Gone)
    }
}
