//! Getting tokens, and new ones before they end.

use crate::http::Http;
use bytes::Bytes;
use cirro_models::{
    Context, Error, Result, Stores, Timestamp,
    identity::{
        Secret,
        token::{Token, TokenRequest},
    },
};
use openssl::base64::encode_block;
use std::sync::Arc;
use tokio::sync::Mutex;

/// How somebody proves who they are.
#[derive(Debug, Clone)]
pub struct Login {
    /// A user's name, or a key's id, or `node:` and a node's id.
    pub name: String,
    /// The password, or the key's or node's secret.
    pub secret: Secret,
    /// The project to work in, by name or id.
    pub project: Option<String>,
}

/// How long before its end a token is replaced, in seconds.
const EARLY_S: i64 = 60;

impl Login {
    /// A fresh token.
    pub async fn token(&self, http: &Http) -> Result<Token> {
        let request = TokenRequest { project: self.project.clone(), ..TokenRequest::default() };
        let body = serde_json::to_vec(&request).map_err(Error::internal)?;
        let proof = encode_block(format!("{}:{}", self.name, self.secret.expose()).as_bytes());
        let ctx = Context::client(Arc::new(Stores::default()), None);
        let authorization = format!("Basic {proof}");
        let headers = [("authorization", authorization.as_str())];
        http.answer(&ctx, "POST", "/identity/v1/token", Some(Bytes::from(body)), &headers).await?.read()
    }
}

/// The next token for one that an earlier login gave, without its password.
pub async fn refreshed(http: &Http, refresh: &Secret, project: Option<String>) -> Result<Token> {
    let request = TokenRequest { project, refresh: Some(refresh.clone()), ..TokenRequest::default() };
    let ctx = Context::client(Arc::new(Stores::default()), None);
    http.json(&ctx, "POST", "/identity/v1/token", Some(&request)).await
}

/// A login that always has a token which is good for a while yet.
pub struct Session {
    http: Arc<Http>,
    login: Login,
    stores: Arc<Stores>,
    token: Mutex<Option<Token>>,
}

impl Session {
    /// A session that has not logged in yet.
    pub fn new(http: Arc<Http>, login: Login) -> Self {
        let stores = Arc::new(Stores::default().elsewhere(http.clone()));
        Self { http, login, stores, token: Mutex::new(None) }
    }
    /// The client it uses.
    pub fn http(&self) -> &Arc<Http> {
        &self.http
    }
    /// A context with a token that is good for a while yet.
    pub async fn context(&self) -> Result<Context> {
        let mut held = self.token.lock().await;
        let good = held.as_ref().filter(|token| token.expires_at > Timestamp::now().plus_seconds(EARLY_S));
        let token = if let Some(token) = good {
            token.token.clone()
        } else {
            let fresh = self.login.token(&self.http).await?;
            held.insert(fresh).token.clone()
        };
        Ok(Context::client(self.stores.clone(), Some(token)))
    }
    /// Forgets the token: the next context logs in again.
    pub async fn renew(&self) {
        *self.token.lock().await = None;
    }
}
