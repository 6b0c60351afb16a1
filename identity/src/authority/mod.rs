//! The site's certificate authority: who is believed to be a service or a node of this site.
//!
//! It makes certificates for the role that it decides on and never for a name that somebody asks for; of a request it takes
//! the public key alone.

mod certificate;
mod requested;

use cirro_client::{Credential, credential::new_key};
use cirro_models::{Error, Name, Result, SiteRole, Stores, Timestamp};
use cirro_server::token::CERTIFICATE_LIFE_S;
use openssl::{
    pkey::{HasPublic, PKey, PKeyRef, Private, Public},
    x509::X509,
};
pub(crate) use requested::RequestedKey;
use std::{fmt, fs, path::Path, sync::Arc, time::Duration};

/// How long a certificate lasts.
const LIFE: Duration = Duration::from_secs(CERTIFICATE_LIFE_S.unsigned_abs());

/// The authority of a site.
pub struct Authority {
    site: Name,
    certificate: X509,
    key: PKey<Private>,
    life: Duration,
}

impl Authority {
    /// A new one.
    pub fn generate(site: Name) -> Result<Self> {
        let key = new_key()?;
        let certificate = certificate::of_authority(&site, &key).map_err(Error::internal)?;
        Ok(Self { site, certificate, key, life: LIFE })
    }
    /// The one in a folder. Blocks.
    pub fn load(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| {
                Error::unavailable(format!(
                    "the site's authority {} can't be read ({error}): make it with `cirro site init`",
                    path.display()
                ))
            })
        };
        let unusable = |error| Error::invalid("authority", format!("it can't be used ({error}): give its folder"));
        let certificate = X509::from_pem(&read(CERTIFICATE)?).map_err(unusable)?;
        let key = PKey::private_key_from_pem(&read(KEY)?).map_err(unusable)?;
        let site = certificate::site_of(&certificate)
            .ok_or_else(|| Error::invalid("authority", "its certificate names no site: give the site's own"))?;
        Ok(Self { site, certificate, key, life: LIFE })
    }
    /// Writes it to a folder that has none. Blocks.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let key = self.key.private_key_to_pem_pkcs8().map_err(Error::internal)?;
        let write = || {
            fs::create_dir_all(folder)?;
            certificate::write_new(&folder.join(KEY), &key)?;
            certificate::write_new(&folder.join(CERTIFICATE), &self.pem().map_err(std::io::Error::other)?)
        };
        write().map_err(|error| {
            Error::unavailable(format!(
                "the site's authority can't be written to {} ({error}): give an empty folder with room",
                folder.display()
            ))
        })
    }
    /// The same with a shorter life of certificates: revocations are kept for no longer one.
    #[must_use]
    pub fn lasting(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }
    /// The site that it is the authority of.
    pub fn site(&self) -> &Name {
        &self.site
    }
    /// Its certificate, as PEM.
    pub fn pem(&self) -> Result<Vec<u8>> {
        self.certificate.to_pem().map_err(Error::internal)
    }
    /// A new key with a certificate for this role.
    pub fn credential(&self, role: SiteRole) -> Result<Credential> {
        self.credential_of(role, Timestamp::now())
    }
    /// The same as of another moment.
    pub fn credential_of(&self, role: SiteRole, made: Timestamp) -> Result<Credential> {
        let key = new_key()?;
        let certificate = self.certify(role, &key, made)?;
        let pem = key.private_key_to_pem_pkcs8().map_err(Error::internal)?;
        Credential::from_pem(self.pem()?, [certificate, pem].concat())
    }
    /// A certificate for this role and this key, as PEM, which counts as made at this moment.
    pub(crate) fn certificate(&self, role: SiteRole, key: &RequestedKey, made: Timestamp) -> Result<String> {
        String::from_utf8(self.certify(role, &key.0, made)?).map_err(Error::internal)
    }
    /// A new key with a certificate for a server that people call by these names and addresses, as one PEM text. It has no
    /// role: to the site, its holder is nobody.
    pub fn edge(&self, names: &[String]) -> Result<Vec<u8>> {
        let key = new_key()?;
        let made = certificate::of_edge(self, names, &key).map_err(|error| {
            Error::invalid("edge", format!("{} can't stand in a certificate ({error})", names.join(", ")))
        })?;
        let (made, key) = (made.to_pem().map_err(Error::internal)?, key.private_key_to_pem_pkcs8());
        Ok([made, key.map_err(Error::internal)?].concat())
    }
    /// Whether a server's certificate is one of this authority's that has lived two thirds of its life. One of another authority
    /// is for its owner to renew.
    ///
    /// # Errors
    /// It is no PEM text of a certificate.
    pub fn edge_is_due(&self, pem: &[u8], now: Timestamp) -> Result<bool> {
        let unusable = |error| Error::invalid("edge", format!("the edge's certificate can't be read ({error})"));
        let made = X509::from_pem(pem).map_err(unusable)?;
        Ok(made.verify(&self.key).map_err(unusable)? && certificate::is_due(&made, now).map_err(unusable)?)
    }
    /// SHA-256 of its certificate (DER).
    pub(crate) fn fingerprint(&self) -> Result<[u8; 32]> {
        self.certificate.to_der().map(|der| openssl::sha::sha256(&der)).map_err(Error::internal)
    }
    /// The one of this process's site.
    pub(crate) fn of(stores: &Stores) -> Result<Arc<Self>> {
        stores.part::<Self>().map_err(|_| {
            Error::conflict(
                "this site has no authority, because it is one process (`cirro up`): no other machine can join it; make \
                 a site of several with `cirro site init`",
            )
        })
    }
    fn certify<T: HasPublic>(&self, role: SiteRole, key: &PKeyRef<T>, made: Timestamp) -> Result<Vec<u8>> {
        let public =
            key.public_key_to_der().and_then(|der| PKey::public_key_from_der(&der)).map_err(Error::internal)?;
        certificate::of_role(self, role, &public, made).and_then(|made| made.to_pem()).map_err(Error::internal)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority of {}", self.site)
    }
}

/// The authority's certificate, in its folder.
const CERTIFICATE: &str = "ca.pem";
/// The authority's key, beside it.
const KEY: &str = "ca.key";

#[cfg(test)]
mod tests;
