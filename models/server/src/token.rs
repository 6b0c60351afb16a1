//! Tokens: short-lived JWTs (RFC 7519) signed with Ed25519 (RFC 8037), verified by every service without a call.
//!
//! The algorithm is pinned: a token that names another one, or none, is refused before its signature is looked at.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use cirro_models::{Error, Id, Result, Role, Subject, Timestamp, identity::Project, subject::Principal};
use openssl::{
    pkey::{Id as KeyKind, PKey, Private, Public},
    sign::{Signer, Verifier as Signature},
};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// How long a token lives, in seconds.
pub const LIFETIME_S: i64 = 600;
/// The most verified tokens that are remembered: an Ed25519 verification costs 100 µs, a look-up less than one.
const REMEMBERED: usize = 10_000;
/// Longer tokens are not looked at.
const LONGEST: usize = 4096;

/// What the bearer of a token is told when its time is over.
pub(crate) const EXPIRED: &str = "the token has expired: log in again, or get a new token with POST /identity/v1/token";
/// What a caller is told who shows no token.
pub(crate) const WANTED: &str =
    "this takes a token: send `Authorization: Bearer …`, got with `cirro token` or POST /identity/v1/token";

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
    /// Its own id.
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

/// Verifies tokens: the present keys, what was revoked, and what was verified before.
#[derive(Default)]
pub struct Verifier {
    keys: RwLock<HashMap<String, PKey<Public>>>,
    /// Names whose tokens are good only if made after this moment, in microseconds.
    revoked: RwLock<HashMap<String, i64>>,
    remembered: RwLock<HashMap<String, Arc<Known>>>,
}

/// What a token that was verified says, as it is asked for with every request.
struct Known {
    subject: Subject,
    sub: String,
    root: String,
    made_us: i64,
    ends_us: i64,
}

impl Verifier {
    /// Takes over the present keys; what was signed with others is refused from now on.
    pub fn trust(&self, jwks: &Jwks) -> Result<()> {
        let mut keys = HashMap::new();
        for jwk in jwks.keys.iter().filter(|jwk| jwk.kty == "OKP" && jwk.crv == "Ed25519") {
            let raw = B64.decode(&jwk.x).map_err(Error::internal)?;
            let key = PKey::public_key_from_raw_bytes(&raw, KeyKind::ED25519).map_err(Error::internal)?;
            keys.insert(jwk.kid.clone(), key);
        }
        *self.keys.write() = keys;
        self.remembered.write().clear();
        Ok(())
    }
    /// Ends every token of `root` that was made up to this moment, remembered ones included.
    pub fn revoke(&self, root: &str, until: Timestamp) {
        let mut revoked = self.revoked.write();
        let entry = revoked.entry(root.to_owned()).or_insert(0);
        *entry = (*entry).max(until.micros());
        // what was revoked longer ago than a token lives has no token left
        let expired = Timestamp::now().plus_seconds(-2 * LIFETIME_S).micros();
        revoked.retain(|_, until| *until > expired);
    }
    /// Who a bearer token names.
    pub fn verify(&self, token: &str) -> Result<Subject> {
        let known = self.remembered.read().get(token).cloned();
        let known = match known {
            Some(known) => known,
            None => self.verify_signature(token)?,
        };
        let refuse = |detail: &str| Err(Error::unauthenticated(detail));
        let now = Timestamp::now().micros();
        if known.ends_us <= now {
            self.remembered.write().remove(token);
            return refuse(EXPIRED);
        }
        if known.made_us > now + 60_000_000 {
            return refuse(
                "the token was made in the future: check the clocks of this machine and the identity service's",
            );
        }
        if self.is_revoked(&known) {
            return refuse("the token was revoked: log in again");
        }
        Ok(known.subject.clone())
    }
    fn is_revoked(&self, known: &Known) -> bool {
        let revoked = self.revoked.read();
        let ended = |name: &str| revoked.get(name).is_some_and(|until| known.made_us <= *until);
        !revoked.is_empty() && (ended(&known.root) || ended(&known.sub))
    }
    fn verify_signature(&self, token: &str) -> Result<Arc<Known>> {
        let refuse = || {
            Error::unauthenticated("the token can't be trusted: get one with `cirro login` or POST /identity/v1/token")
        };
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        if token.len() > LONGEST {
            return Err(refuse());
        }
        let decode = |part: &str| B64.decode(part).map_err(|_| refuse());
        let head: Header = serde_json::from_slice(&decode(header)?).map_err(|_| refuse())?;
        if head.alg != "EdDSA" {
            return Err(refuse());
        }
        let keys = self.keys.read();
        let key = keys.get(&head.kid).ok_or_else(refuse)?;
        let mut verifier = Signature::new_without_digest(key).map_err(Error::internal)?;
        let text = &token.as_bytes()[..header.len() + 1 + payload.len()];
        if !verifier.verify_oneshot(&decode(signature)?, text).unwrap_or(false) {
            return Err(refuse());
        }
        let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| refuse())?;
        let known = Arc::new(Known::of(claims)?);
        let mut remembered = self.remembered.write();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(token.to_owned(), known.clone());
        Ok(known)
    }
}

impl Known {
    fn of(claims: Claims) -> Result<Self> {
        let principal: Principal = claims
            .sub
            .parse()
            .map_err(|()| Error::unauthenticated("the token names nobody that this release knows: log in again"))?;
        let project = claims.project.zip(claims.role);
        let ends_us = claims.exp.saturating_mul(1_000_000);
        let end = Timestamp::from_micros(ends_us);
        let subject = Subject::verified(principal, project, claims.operator, claims.scoped, Some(end));
        Ok(Self { subject, sub: claims.sub, root: claims.root, made_us: claims.iat_us, ends_us })
    }
}
