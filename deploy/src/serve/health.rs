//! Whether a process can serve: asked before each renewal of its place in the registry.

use cirro_client::{Credential, Http, Place, Reach, Tls, registry::Check};
use cirro_models::{Context, Result, Stores};
use cirro_server::token::Verifier;
use std::sync::Arc;

/// The process answers at its own address, as others would ask it, and knows whose tokens to trust.
pub(super) fn check(address: &str, credential: &Credential, tls: &Tls, verifier: Arc<Verifier>) -> Result<Check> {
    let role = credential.role().uri(credential.site());
    let reach = Reach { tls: Some(tls.expecting(&role)), ..Reach::default() };
    let http = Arc::new(Http::everything_at(&Place::Listed(vec![address.to_owned()]), &reach)?);
    let stores = Arc::new(Stores::default());
    Ok(Arc::new(move || {
        let (http, stores, verifier) = (http.clone(), stores.clone(), verifier.clone());
        Box::pin(async move {
            let ctx = Context::client(stores, None);
            let answered = http.answer(&ctx, "GET", "/healthz", None, &[]).await;
            verifier.knows_keys() && answered.is_ok_and(|answer| answer.status == 200)
        })
    }))
}
