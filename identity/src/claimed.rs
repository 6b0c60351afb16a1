//! Who somebody says they are, as a request shows it.

use actix_web::HttpRequest;
use base64::{Engine, engine::general_purpose::STANDARD};
use cirro_models::{
    Error, Result, SiteRole,
    identity::{KeySecret, Secret},
};
use cirro_server::{
    http::{bearer, client_address},
    tls::Peer,
};
use std::net::IpAddr;

/// Who somebody says they are, with what should prove it.
pub(crate) struct Claimed {
    pub(crate) name: String,
    pub(crate) secret: Secret,
    /// Where they are.
    pub(crate) from: IpAddr,
}

impl Claimed {
    /// As the request shows it, which comes from there.
    pub(crate) fn read(request: &HttpRequest, from: IpAddr) -> Result<Self> {
        let (name, secret) = shown(request)?;
        Ok(Self { name, secret, from })
    }
}

/// Where a login comes from. A service that hands on a key tells where that was shown; of anything else it is not believed.
pub(crate) fn place(request: &HttpRequest, told: Option<IpAddr>) -> Result<IpAddr> {
    let Some(told) = told else { return Ok(client_address(request)) };
    let by_service = Peer::of(request).is_some_and(|peer| matches!(peer.role, SiteRole::Service(_)));
    if by_service && bearer(request.headers()).is_ok_and(|text| KeySecret::read(text).is_some()) {
        return Ok(told);
    }
    Err(Error::invalid("from", "only a service that hands on an API key says where it was shown: leave it out"))
}

/// The name and secret of a Basic header (RFC 7617), or those of an API key in a Bearer header; a node's name holds a colon,
/// so the last one divides.
fn shown(request: &HttpRequest) -> Result<(String, Secret)> {
    if let Some(key) = bearer(request.headers()).ok().and_then(KeySecret::read) {
        return Ok((key.id.to_string(), key.proof));
    }
    let refuse = || {
        Error::unauthenticated(
            "send `Authorization: Basic …` with a user's name and password, or `Authorization: Bearer …` with an API key",
        )
    };
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok()).ok_or_else(refuse)?;
    let (scheme, encoded) = header.split_once(' ').ok_or_else(refuse)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refuse());
    }
    let text =
        STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(refuse)?;
    let divided = match text.strip_prefix("node:") {
        Some(rest) => rest.split_once(':').map(|(id, secret)| (format!("node:{id}"), secret)),
        None => text.split_once(':').map(|(name, secret)| (name.to_owned(), secret)),
    };
    divided.map(|(name, secret)| (name, Secret::new(secret))).ok_or_else(refuse)
}
