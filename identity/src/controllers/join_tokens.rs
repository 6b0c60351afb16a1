//! Join tokens: the secret is told once and kept as a hash.

use crate::{authority::Authority, enrolment, password, records, signer::Signer};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Result, Verbs,
    compute::Node,
    identity::{JoinSecret, JoinToken, join_token::NewJoinToken},
};
use cirro_server::{Controller, OwnerContext};

/// The longest life of a join token, in seconds.
const LONGEST_S: i64 = 24 * 3600;

pub(crate) struct JoinTokens;

#[async_trait]
impl Controller<JoinToken> for JoinTokens {
    async fn create(&self, ctx: &Context, draft: JoinToken, _: NewJoinToken) -> Result<Created<JoinToken>> {
        ctx.require_unscoped()?;
        let authority = Authority::of(ctx.stores())?;
        let now = ctx.stores().part::<Signer>()?.clock().now();
        if draft.expires_at <= now || draft.expires_at > now.plus_seconds(LONGEST_S) {
            return Err(Error::invalid("expires_at", "give a moment in the future, at most a day ahead"));
        }
        if let Some(node) = draft.node_id {
            if draft.name.is_some() || draft.vcpus.is_some() || draft.memory_mib.is_some() || draft.disk_gib.is_some() {
                return Err(Error::invalid(
                    "node_id",
                    "the node keeps its name and its capacity: give node_id alone, or leave it out for a new node",
                ));
            }
            let unknown = |error: Error| {
                let none = Error::invalid("node_id", "there is no such node: see `cirro node list`");
                if error.is_not_found() { none } else { error }
            };
            Node::get(ctx, node).await.map_err(unknown)?;
        }
        let (site, authority) = (authority.site().clone(), authority.fingerprint()?);
        let secret = JoinSecret { site, authority, id: draft.id, proof: password::random_secret()? };
        let told = secret.text();
        let write = move |tx: &mut cirro_server::Tx<'_>| {
            records::set_secret(tx.connection(), &enrolment::kept_as(draft.id), &secret.proof, draft.expires_at)?;
            tx.tell_once("secret", &secret.text());
            tx.insert(&draft).map(|()| draft.clone())
        };
        let token = ctx.write(write).await?;
        Ok(Created::from(token).once("secret", told))
    }

    async fn delete(&self, ctx: &Context, current: JoinToken) -> Result<Deleted<JoinToken>> {
        ctx.require_unscoped()?;
        ctx.write(move |tx| enrolment::drop_token(tx, &current)).await.map(|()| Deleted::Gone)
    }
}
