//! Tokens for keys that are shown to a service of this process where tokens are shown.

use crate::{attempts::Attempts, claimed::Claimed, login, signer::Signer};
use async_trait::async_trait;
use cirro_models::{Result, identity::token::Token};
use cirro_server::{
    Database,
    api_keys::{Exchange, Shown},
    db::RequestNote,
};
use std::sync::Arc;

/// Gives them as `POST /identity/v1/token` does, with the same limits and notes.
pub(crate) struct OwnExchange {
    pub(crate) database: Database,
    pub(crate) signer: Arc<Signer>,
    pub(crate) attempts: Arc<Attempts>,
}

#[async_trait]
impl Exchange for OwnExchange {
    async fn token(&self, shown: &Shown) -> Result<Token> {
        let note = Arc::new(RequestNote::of_stranger(shown.request_id.clone(), "create", "token"));
        let (name, proof) = (shown.key.id.to_string(), shown.key.proof.clone());
        let who = Claimed { name, secret: proof, from: shown.from };
        let grounds = login::proven(&self.database, &self.signer, &self.attempts, who, None, note).await?;
        login::signed(&self.signer, grounds)
    }
}
