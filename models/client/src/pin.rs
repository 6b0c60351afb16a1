//! The site's authority, for a machine that knows only its fingerprint yet.

use crate::{discovery::Place, http::Http, http::Reach, tls::Tls};
use cirro_models::{Context, Error, Name, Result, Service, Stores, identity::SiteAuthority};
use openssl::{sha::sha256, x509::X509};
use std::sync::Arc;

/// Asks identity at this place for the authority of its site, and believes the answer if its fingerprint (SHA-256 of the
/// certificate) is this one. Nothing that is secret may be sent before: whoever is there was not asked who they are.
pub async fn pinned_authority(place: &Place, site: &Name, fingerprint: &[u8; 32]) -> Result<Vec<u8>> {
    let reach = Reach { tls: Some(Tls::blind()?), site: Some(site.to_string()), ..Reach::default() };
    let http = Http::each_at(&[(Service::Identity, place.clone())], &reach)?;
    let ctx = Context::client(Arc::new(Stores::default()), None);
    let told: SiteAuthority = http.json(&ctx, "GET", "/identity/v1/authority", None::<&()>).await?;
    // the first certificate alone: more might stand below the one that is checked
    let authority = X509::from_pem(told.authority.as_bytes()).map_err(|_| stranger())?;
    let der = authority.to_der().map_err(Error::internal)?;
    if sha256(&der) != *fingerprint {
        return Err(stranger());
    }
    authority.to_pem().map_err(Error::internal)
}

fn stranger() -> Error {
    Error::unauthenticated(
        "whoever answers at that address is not the site that the join token is for, so the token was not shown to them: \
         check the address, and take a token of that site",
    )
}
