//! Exchanging keys at identity in another process.

use super::{Exchange, PATIENCE, Shown};
use async_trait::async_trait;
use cirro_models::{
    Context, Error, Result, Service, Stores,
    identity::token::{Token, TokenRequest},
    remote::{Call, Transport},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// So that the refusal of a call comes before that of who waits for it.
const SOONER: Duration = Duration::from_millis(500);

/// Identity, over this transport.
pub(crate) struct AtIdentity(pub(crate) Arc<dyn Transport>);

#[async_trait]
impl Exchange for AtIdentity {
    /// The key goes where a token would, in the header `Authorization`. It is no login, so there is no harm in repeating it:
    /// the key for that lets the client try another process when one dies.
    async fn token(&self, shown: &Shown) -> Result<Token> {
        let ctx = Context::client(Arc::new(Stores::default()), Some(shown.key.text()))
            .named(shown.request_id.clone())
            .in_trace(shown.trace)
            .until(Instant::now() + PATIENCE.saturating_sub(SOONER))
            .keyed(uuid::Uuid::now_v7().to_string());
        let asked = TokenRequest { from: Some(shown.from), ..TokenRequest::default() };
        let body = serde_json::to_vec(&asked).map_err(Error::internal)?;
        let path = "/identity/v1/token".to_owned();
        let call = Call { service: Service::Identity, method: "POST", path, body: Some(body.into()), if_match: None };
        match self.0.send(&ctx, call).await {
            Ok(answer) => answer.read(),
            Err(Error::Unavailable { .. } | Error::DeadlineExceeded { .. }) => Err(Error::unavailable(
                "identity can't be reached just now, and it alone can tell whether this API key is good: try again; a token \
                 that you hold is good meanwhile",
            )),
            Err(error) => Err(error),
        }
    }
}
