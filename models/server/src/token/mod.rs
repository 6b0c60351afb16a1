//! Tokens: short-lived JWTs (RFC 7519) signed with Ed25519 (RFC 8037), verified by every service without a call.
//!
//! The algorithm is pinned: a token that names another one, or none, is refused before its signature is looked at.

mod clock;
mod follow;
mod keys;
mod revoked;
mod verifier;

pub use clock::Clock;
pub use follow::follow;
pub use revoked::{KEPT_S, kept_s};
pub use verifier::Verifier;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use cirro_models::{
    Error, Id, Result, Role, Timestamp,
    identity::{Project, TokenKey},
};
use openssl::{
    pkey::{Id as KeyKind, PKey, Private},
    sign::Signer,
};
use serde::{Deserialize, Serialize};

/// How long a token lives, in seconds.
pub const LIFETIME_S: i64 = 600;
/// How long a certificate of a service or a node lasts at most, in seconds, unless it is renewed.
pub const CERTIFICATE_LIFE_S: i64 = 30 * 86_400;

/// What the bearer of a token is told when its time is over.
pub(crate) const EXPIRED: &str = "the token has expired: log in again, or get a new token with POST /identity/v1/token";
/// What a caller is told who shows no token.
pub(crate) const WANTED: &str = "this takes a token: send `Authorization: Bearer …`, got with `cirro token` or POST /identity/v1/token, or an API key";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Who: `user:…`, `key:…`, `node:…`.
    pub sub: String,
    /// Whose it is: revoking this name ends it.
    pub root: String,
    /// The project it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Id<Project>>,
    /// The role there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether it carries the site's Operator role.
    #[serde(default)]
    pub operator: bool,
    /// Whether a scoped key stands behind it.
    #[serde(default)]
    pub scoped: bool,
    /// When it was made, in seconds with microseconds as a fraction kept apart in `iat_us`.
    pub iat: i64,
    /// The same in microseconds: revocations are finer than a second.
    pub iat_us: i64,
    /// When it ends, in seconds.
    pub exp: i64,
    /// Its own id: revoking `token:` with it ends this token alone.
    pub jti: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// One public key, as in a JWKS (RFC 7517).
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// `EdDSA`.
    pub alg: String,
    /// Names the key.
    pub kid: String,
    /// The public key, base64url.
    pub x: String,
}

impl From<&TokenKey> for Jwk {
    fn from(key: &TokenKey) -> Self {
        let (kid, x) = (key.kid.clone(), key.public_key.clone());
        Self { kty: "OKP".into(), crv: "Ed25519".into(), alg: "EdDSA".into(), kid, x }
    }
}

/// Public keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwks {
    /// The keys that tokens may be signed with now.
    pub keys: Vec<Jwk>,
}

/// A key that signs tokens; identity alone has one.
pub struct SigningKey {
    kid: String,
    key: PKey<Private>,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self> {
        Self::of(PKey::generate_ed25519().map_err(Error::internal)?)
    }
    /// From the 32 bytes of [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::of(PKey::private_key_from_raw_bytes(bytes, KeyKind::ED25519).map_err(Error::internal)?)
    }
    fn of(key: PKey<Private>) -> Result<Self> {
        let public = key.raw_public_key().map_err(Error::internal)?;
        Ok(Self { kid: B64.encode(&openssl::sha::sha256(&public)[..9]), key })
    }
    /// The private key, to be kept where only identity reads it.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.key.raw_private_key().map_err(Error::internal)
    }
    /// The public half.
    pub fn jwk(&self) -> Result<Jwk> {
        let x = B64.encode(self.key.raw_public_key().map_err(Error::internal)?);
        Ok(Jwk { kty: "OKP".into(), crv: "Ed25519".into(), alg: "EdDSA".into(), kid: self.kid.clone(), x })
    }
    /// A signed token.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        let header = Header { alg: "EdDSA".into(), typ: "JWT".into(), kid: self.kid.clone() };
        let part = |json: serde_json::Result<Vec<u8>>| json.map(|json| B64.encode(json)).map_err(Error::internal);
        let text = format!("{}.{}", part(serde_json::to_vec(&header))?, part(serde_json::to_vec(claims))?);
        let mut signer = Signer::new_without_digest(&self.key).map_err(Error::internal)?;
        let signature = signer.sign_oneshot_to_vec(text.as_bytes()).map_err(Error::internal)?;
        Ok(format!("{text}.{}", B64.encode(signature)))
    }
}

/// What a token says, that was verified before.
fn said(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1).and_then(|part| B64.decode(part).ok());
    payload.and_then(|bytes| serde_json::from_slice(&bytes).ok())
}

/// When a token ends; asked of tokens that were verified.
pub(crate) fn end_of(token: &str) -> Option<Timestamp> {
    said(token).map(|claims| Timestamp::from_micros(claims.exp.saturating_mul(1_000_000)))
}

/// The name that ends a token alone when it is revoked; asked of tokens that were verified.
pub fn name_of(token: &str) -> Result<String> {
    said(token)
        .map(|claims| format!("token:{}", claims.jti))
        .ok_or_else(|| Error::internal("a verified token has no id"))
}
