//! The key that signs tokens, and what ends them.

use crate::records;
use base64::{Engine, engine::general_purpose::STANDARD};
use cirro_models::{Error, Id, Principal, Result, Role, Timestamp, identity::Project};
use cirro_server::{
    Database, Tx,
    token::{Claims, Jwks, LIFETIME_S, SigningKey, Verifier},
};
use std::sync::Arc;

/// Makes tokens and ends them.
pub struct Signer {
    key: SigningKey,
    verifier: Arc<Verifier>,
    jwks: Jwks,
}

impl Signer {
    /// Reads the signing key, or makes the first one, and teaches the verifier what it must know.
    pub(crate) async fn open(database: &Database, verifier: Arc<Verifier>) -> Result<Self> {
        let key = SigningKey::generate()?;
        let (kid, fresh) = (key.jwk()?.kid, STANDARD.encode(key.to_bytes()?));
        let subject = cirro_server::controller::service_subject(cirro_models::Service::Identity);
        let kept = database
            .write(&subject, None, move |tx| {
                let keys = records::signing_keys(tx.connection())?;
                if let Some(first) = keys.into_iter().next() {
                    return Ok(first);
                }
                records::add_signing_key(tx.connection(), &kid, &fresh)?;
                Ok(fresh.clone())
            })
            .await?;
        let key = SigningKey::from_bytes(&STANDARD.decode(kept).map_err(Error::internal)?)?;
        let jwks = Jwks { keys: vec![key.jwk()?] };
        verifier.trust(&jwks)?;
        let since = Timestamp::now().plus_seconds(-2 * LIFETIME_S);
        for (root, until) in database.read(move |c| records::revocations(c, since)).await? {
            verifier.revoke(&root, Timestamp::from_micros(until));
        }
        Ok(Self { key, verifier, jwks })
    }
    /// The public keys.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }
    /// A token for a principal with these rights, and when it ends. `root` is whose it is.
    pub(crate) fn token(
        &self,
        who: &Principal,
        root: String,
        project: Option<(Id<Project>, Role)>,
        operator: bool,
    ) -> Result<(String, Timestamp)> {
        let now = Timestamp::now();
        let exp = now.micros() / 1_000_000 + LIFETIME_S;
        let (project, role) = project.unzip();
        let claims = Claims {
            sub: who.to_string(),
            root,
            project,
            role,
            operator,
            scoped: matches!(who, Principal::ApiKey(..)),
            iat: now.micros() / 1_000_000,
            iat_us: now.micros(),
            exp,
            jti: uuid::Uuid::now_v7().to_string(),
        };
        Ok((self.key.sign(&claims)?, Timestamp::from_micros(exp * 1_000_000)))
    }
    /// Ends, in this transaction, what `root` holds; call [`Self::revoked`] when it is committed.
    pub(crate) fn revoke(tx: &mut Tx<'_>, root: &str) -> Result<()> {
        records::revoke(tx.connection(), root, Timestamp::now())
    }
    /// Takes effect on this process's verifier.
    pub(crate) fn revoked(&self, root: &str) {
        self.verifier.revoke(root, Timestamp::now());
    }
}
