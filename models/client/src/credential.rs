//! What a process of a site proves its role with: the site's authority, its certificate and its key, in one folder.
//!
//! Certificate and key are one file, so that both change at once when the certificate is renewed.

use crate::tls::{Identity, Tls};
use cirro_models::{Error, Name, Result, SiteRole, Timestamp};
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{X509, X509Ref, X509Req},
};
use std::{fmt, fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};
use uuid::Uuid;

/// The site's authority, as PEM.
pub const CA_FILE: &str = "ca.pem";
/// Certificate and key, as PEM; only its owner reads it.
pub const CREDENTIAL_FILE: &str = "credential.pem";

/// What a process of a site proves its role with.
#[derive(Clone)]
pub struct Credential {
    ca: Vec<u8>,
    pem: Vec<u8>,
    certificate: X509,
    site: Name,
    role: SiteRole,
}

impl Credential {
    /// Reads the two files of a folder. Blocks.
    pub fn load(folder: &Path) -> Result<Self> {
        let read = |name: &str| -> Result<Vec<u8>> {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| {
                Error::unavailable(format!(
                    "the credential {} can't be read ({error}): make it with `cirro site init`, and give its folder with --credential",
                    path.display()
                ))
            })
        };
        Self::from_pem(read(CA_FILE)?, read(CREDENTIAL_FILE)?)
    }
    /// From the text of the two files.
    pub fn from_pem(ca: Vec<u8>, pem: Vec<u8>) -> Result<Self> {
        Identity::from_pem(&pem, &pem)?;
        let certificate = X509::from_pem(&pem).map_err(Error::internal)?;
        let (site, role) = role_of(&certificate).ok_or_else(|| {
            Error::invalid(
                "credential",
                "its certificate names no role in a site: take one that the site's authority has made",
            )
        })?;
        Ok(Self { ca, pem, certificate, site, role })
    }
    /// Writes the two files, each whole or not at all, the key's readable by its owner only. Blocks.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let written = fs::create_dir_all(folder)
            .and_then(|()| replace(&folder.join(CA_FILE), &self.ca, 0o644))
            .and_then(|()| replace(&folder.join(CREDENTIAL_FILE), &self.pem, 0o600));
        written.map_err(|error| {
            Error::unavailable(format!(
                "the credential can't be written to {} ({error}): check rights and room",
                folder.display()
            ))
        })
    }
    /// The same key with a newer certificate for it.
    pub fn renewed(&self, certificate: &[u8]) -> Result<Self> {
        let key = self.key()?.private_key_to_pem_pkcs8().map_err(Error::internal)?;
        Self::from_pem(self.ca.clone(), [certificate, &key].concat())
    }
    /// The site that it is good in.
    pub fn site(&self) -> &Name {
        &self.site
    }
    /// What its holder is there.
    pub fn role(&self) -> SiteRole {
        self.role
    }
    /// The site's authority, as PEM.
    pub fn ca(&self) -> &[u8] {
        &self.ca
    }
    /// Its certificate.
    pub fn certificate(&self) -> &X509Ref {
        &self.certificate
    }
    /// Its key.
    pub fn key(&self) -> Result<PKey<Private>> {
        PKey::private_key_from_pem(&self.pem).map_err(Error::internal)
    }
    /// When its certificate ends.
    pub fn ends_at(&self) -> Result<Timestamp> {
        ends_at(&self.certificate)
    }
    /// From when on it should be renewed: when two thirds of its time are over.
    pub fn renew_at(&self) -> Result<Timestamp> {
        let (start, end) = (moment(self.certificate.not_before())?, self.ends_at()?);
        Ok(Timestamp::from_micros(start.micros() + (end.micros() - start.micros()) / 3 * 2))
    }
    /// How long its certificate lasts in all, in microseconds.
    pub(crate) fn life_us(&self) -> Result<i64> {
        Ok(self.ends_at()?.micros() - moment(self.certificate.not_before())?.micros())
    }
    /// A request for a certificate of its key.
    pub fn request(&self) -> Result<String> {
        request(&self.key()?)
    }
    /// What connections to peers of the site are opened with.
    pub fn tls(&self) -> Result<Tls> {
        Tls::site(&self.ca, Some(&self.identity()?))
    }
    /// What connections to the site's registry are opened with, if its URL says `etcds://`.
    pub fn registry_tls(&self, tls: &Tls) -> Tls {
        tls.expecting(&SiteRole::Registry.uri(&self.site))
    }
    /// Certificate and key, to be shown to peers.
    pub fn identity(&self) -> Result<Identity> {
        Identity::from_pem(&self.pem, &self.pem)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential of {}", self.role.uri(&self.site))
    }
}

/// A key on P-256: what nginx, libvirt and OpenSSL all take.
pub fn new_key() -> Result<PKey<Private>> {
    let make =
        || EcKey::generate(EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?.as_ref()).and_then(PKey::from_ec_key);
    make().map_err(Error::internal)
}

/// A request (PKCS #10, as PEM) for a certificate of this key. It asks for no name: the authority knows who asks.
pub fn request(key: &PKey<Private>) -> Result<String> {
    let make = || {
        let mut builder = X509Req::builder()?;
        builder.set_pubkey(key)?;
        builder.sign(key, MessageDigest::sha256())?;
        builder.build().to_pem()
    };
    String::from_utf8(make().map_err(Error::internal)?).map_err(Error::internal)
}

/// The role in a certificate: it is good for one, or for none.
pub fn role_of(certificate: &X509Ref) -> Option<(Name, SiteRole)> {
    let names = certificate.subject_alt_names()?;
    let mut uris = names.iter().filter_map(|name| name.uri());
    match (uris.next(), uris.next()) {
        (Some(uri), None) => SiteRole::read(uri),
        _ => None,
    }
}

/// When a certificate of the site's authority was made: its serial number is a UUID of version 7, whose first 48 bits are
/// milliseconds (RFC 9562 §5.7). The start of its validity is no measure: that lies back, for clocks that differ.
pub fn made_at(certificate: &X509Ref) -> Option<Timestamp> {
    let serial = certificate.serial_number().to_bn().ok()?.to_vec_padded(16).ok()?;
    let id = Uuid::from_slice(&serial).ok()?;
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    Some(Timestamp::from_micros(i64::try_from(seconds).ok()? * 1_000_000 + i64::from(nanoseconds / 1000)))
}

/// When a certificate ends.
pub fn ends_at(certificate: &X509Ref) -> Result<Timestamp> {
    moment(certificate.not_after())
}

/// A moment as certificates tell it.
fn moment(time: &Asn1TimeRef) -> Result<Timestamp> {
    let epoch = Asn1Time::from_unix(0).map_err(Error::internal)?;
    let since = epoch.diff(time).map_err(Error::internal)?;
    Ok(Timestamp::from_micros((i64::from(since.days) * 86_400 + i64::from(since.secs)) * 1_000_000))
}

/// Writes a file whole or not at all. Blocks.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let partial = path.with_extension("new");
    // one from a process that died half-way may have other rights
    if let Err(error) = fs::remove_file(&partial)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}
