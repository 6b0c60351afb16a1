//! The site's certificate authority: who is believed to be a service or a node of this site.
//!
//! It makes certificates for the role that it decides on and never for a name that somebody asks for; of a request it takes
//! the public key alone.

mod certificate;

use cirro_client::Credential;
use cirro_models::{Error, Name, Result, SiteRole};
use openssl::{
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkey::{PKey, PKeyRef, Private, Public},
    x509::{X509, X509Req},
};
use std::{fmt, fs, path::Path, time::Duration};

/// How long a certificate of a service or a node lasts, unless it is renewed.
pub const LIFE: Duration = Duration::from_secs(30 * 86_400);

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
    /// The same with another life of certificates.
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
        let key = new_key()?;
        let certificate = self.certify(role, &key)?;
        let pem = key.private_key_to_pem_pkcs8().map_err(Error::internal)?;
        Credential::from_pem(self.pem()?, [certificate, pem].concat())
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
    /// A certificate for this role and the key in a certificate request (PKCS #10), as PEM. What else the request asks for
    /// counts for nothing.
    pub fn answer(&self, role: SiteRole, request: &[u8]) -> Result<Vec<u8>> {
        let refused = |what: &str| Error::invalid("request", format!("{what}: send a PKCS #10 request as PEM"));
        let request = X509Req::from_pem(request).map_err(|_| refused("it can't be read"))?;
        let key = request.public_key().map_err(|_| refused("its key can't be read"))?;
        if !request.verify(&key).unwrap_or(false) {
            return Err(refused("it is not signed with its own key"));
        }
        let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
        if curve != Some(Nid::X9_62_PRIME256V1) {
            return Err(Error::invalid(
                "request",
                "its key is none of the kind that this site uses: make one on P-256",
            ));
        }
        self.certify(role, &key)
    }
    fn certify<T: openssl::pkey::HasPublic>(&self, role: SiteRole, key: &PKeyRef<T>) -> Result<Vec<u8>> {
        let public =
            key.public_key_to_der().and_then(|der| PKey::public_key_from_der(&der)).map_err(Error::internal)?;
        let made = certificate::of_role(self, role, &public).map_err(Error::internal)?;
        made.to_pem().map_err(Error::internal)
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

/// A key on P-256: what nginx, libvirt and OpenSSL all take.
fn new_key() -> Result<PKey<Private>> {
    let make =
        || EcKey::generate(EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?.as_ref()).and_then(PKey::from_ec_key);
    make().map_err(Error::internal)
}

#[cfg(test)]
mod tests;
