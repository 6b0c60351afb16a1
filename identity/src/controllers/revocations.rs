//! Ending tokens by name.

use crate::{records, signer::Signer};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Error, Principal, Result,
    identity::{Revocation, revocation::NewRevocation},
};
use cirro_server::{Controller, OwnerContext};

pub(crate) struct Revocations;

/// Whether this can be the subject of a token, or one token.
fn can_be_revoked(subject: &str) -> bool {
    match subject.strip_prefix("token:") {
        Some(id) => id.parse::<uuid::Uuid>().is_ok_and(|parsed| parsed.to_string() == id),
        // written as tokens write it, or it would end nothing
        None => subject.parse::<Principal>().is_ok_and(|principal| principal.to_string() == subject),
    }
}

#[async_trait]
impl Controller<Revocation> for Revocations {
    async fn create(&self, ctx: &Context, mut draft: Revocation, _: NewRevocation) -> Result<Created<Revocation>> {
        ctx.require_unscoped()?;
        if !can_be_revoked(&draft.subject) {
            return Err(Error::invalid(
                "subject",
                "this names nobody who holds tokens: give user:ID, key:ID:USER, node:ID, or token: and the token's jti",
            ));
        }
        let signer = ctx.stores().part::<Signer>()?;
        let kept = signer.clone();
        let row = ctx
            .write(move |tx| {
                if let Ok(Principal::User(user)) = draft.subject.parse() {
                    // or a new token could be had at once for what an earlier login told
                    records::forget_secrets_of(tx.connection(), &format!("refresh:{user}:"))?;
                }
                draft.meta.created_at = kept.moment(tx, &draft.subject)?;
                draft.meta.updated_at = draft.meta.created_at;
                tx.insert(&draft).map(|()| draft.clone())
            })
            .await?;
        signer.revoked(std::slice::from_ref(&row));
        Ok(row.into())
    }
}
