//! The transport that remembers what was said: a verb answers a model, which keeps only the fields that this release
//! knows, while `-o json` prints exactly what the API said, `links` and newer fields included.

use async_trait::async_trait;
use cirro_client::Http;
use cirro_models::{
    Context, Result,
    remote::{Answer, Call, Transport},
};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// The client, and the body of the last answer that it brought.
pub(crate) struct Heard {
    http: Arc<Http>,
    last: Mutex<Option<Answer>>,
}

impl Heard {
    /// Over this client.
    pub(crate) fn new(http: Arc<Http>) -> Self {
        Self { http, last: Mutex::new(None) }
    }
    /// The JSON of the last answer, once; `null` if it had none.
    pub(crate) fn take(&self) -> Value {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        last.and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default()
    }
}

#[async_trait]
impl Transport for Heard {
    async fn send(&self, ctx: &Context, call: Call) -> Result<Answer> {
        let answer = Transport::send(&*self.http, ctx, call).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        Ok(answer)
    }
}
