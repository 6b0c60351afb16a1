//! A site whose identity is served over TLS, to peers with certificates.

use super::site::Site;
use cirro_client::{Credential, Http, credential::CREDENTIAL_FILE};
use cirro_models::{
    Context, Id, Result, Service, SiteRole, Stores,
    compute::Node,
    identity::{Certificate, CertificateRequest},
    remote::Answer,
};
use cirro_server::testkit::{Backend, Server};
use serde_json::json;
use std::sync::Arc;

pub(crate) const IDENTITY: SiteRole = SiteRole::Service(Service::Identity);

pub(crate) struct Secure {
    pub(crate) site: Site,
    pub(crate) server: Server,
}

impl Secure {
    pub(crate) async fn start(backend: Backend) -> Self {
        super::log::start();
        let site = Site::new(backend).await;
        let shown = site.authority.credential(IDENTITY).unwrap();
        let server = Server::start_tls(vec![site.identity.clone()], &site.verifier, &shown).await;
        Self { site, server }
    }
    pub(crate) fn credential(&self, role: SiteRole) -> Credential {
        self.site.authority.credential(role).unwrap()
    }
    /// A client with this certificate.
    pub(crate) fn peer(&self, shown: &Credential) -> Arc<Http> {
        self.server.peer(shown, IDENTITY)
    }
    /// Ends what this node holds.
    pub(crate) async fn revoke(&self, node: Id<Node>) {
        let subject = json!({"subject": format!("node:{node}")});
        self.site.call(&self.site.operator().await, "POST", "revocation", subject).await.good();
    }
}

/// A context that shows no token.
pub(crate) fn nobody() -> Context {
    Context::client(Arc::new(Stores::default()), None)
}

pub(crate) async fn ask(http: &Http, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let body = (!body.is_empty()).then(|| body.to_owned().into());
    http.answer(&nobody(), method, path, body, headers).await
}

/// What a peer is told who asks who it is.
pub(crate) async fn status(http: &Http, headers: &[(&str, &str)]) -> u16 {
    ask(http, "GET", "/identity/v1/user/me", "", headers).await.unwrap().status
}

/// Asks for the next certificate of this peer, with the request of this credential's key.
pub(crate) async fn renewed(peer: &Http, key: &Credential) -> Result<Certificate> {
    let asked = CertificateRequest { request: key.request().unwrap() };
    peer.json(&nobody(), "POST", "/identity/v1/certificate", Some(&asked)).await
}

/// The same certificate and key, of one who trusts this authority.
pub(crate) fn trusting(shown: &Credential, authority: &[u8]) -> Credential {
    let folder = tempfile::tempdir().unwrap();
    shown.save(folder.path()).unwrap();
    let pem = std::fs::read(folder.path().join(CREDENTIAL_FILE)).unwrap();
    Credential::from_pem(authority.to_vec(), pem).unwrap()
}
