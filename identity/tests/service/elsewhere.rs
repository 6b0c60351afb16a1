//! A service in a process of its own, which reaches identity over HTTP.

use super::site::{Login, Site};
use async_trait::async_trait;
use cirro_models::{
    Context, Error, Result, Stores,
    identity::Secret,
    remote::{Answer, Call, Transport},
};
use cirro_server::{
    owner::Running,
    testkit::{Actors, Server},
    token::{Verifier, follow},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

/// The way to identity, which may be broken.
pub(crate) struct Way {
    http: Arc<dyn Transport>,
    pub(crate) broken: AtomicBool,
}

#[async_trait]
impl Transport for Way {
    async fn send(&self, ctx: &Context, call: Call) -> Result<Answer> {
        if self.broken.load(Ordering::Acquire) {
            return Err(Error::unavailable("the way is broken"));
        }
        self.http.send(ctx, call).await
    }
}

/// A service in a process of its own, which reaches identity over HTTP.
pub(crate) struct Elsewhere {
    pub(crate) way: Arc<Way>,
    pub(crate) verifier: Arc<Verifier>,
    server: Server,
    token: Arc<Mutex<Secret>>,
    follows: tokio::task::JoinHandle<()>,
}

impl Elsewhere {
    pub(crate) async fn start(site: &Site, service: &Running) -> Self {
        let way = Arc::new(Way { http: site.server.http.clone(), broken: AtomicBool::new(false) });
        let verifier = Arc::new(Verifier::default());
        let mut actors = Actors::new();
        actors.verifier = verifier.clone();
        let server = Server::start(vec![service.clone()], &actors).await;
        let stores = Arc::new(Stores::default().elsewhere(way.clone()));
        let token = Arc::new(Mutex::new(Secret::new(site.operator().await.token)));
        let shown = token.clone();
        let ctx = move || Context::client(stores.clone(), Some(shown.lock().unwrap().clone()));
        let follows = tokio::spawn(follow(verifier.clone(), ctx));
        Self { way, verifier, server, token, follows }
    }
    /// From now on the service proves itself to identity with this operator's token.
    pub(crate) fn shows(&self, operator: &Login) {
        *self.token.lock().unwrap() = Secret::new(operator.token.clone());
    }
    pub(crate) async fn status(&self, by: &Login, method: &str, path: &str) -> u16 {
        let bearer = format!("Bearer {}", by.token);
        let body = if path.ends_with("/batch") { "{\"ids\": []}" } else { "{}" };
        let path = format!("/compute/v1/{path}");
        self.server.send(method, &path, &[("authorization", bearer.as_str())], body).await.status
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.follows.abort();
    }
}
