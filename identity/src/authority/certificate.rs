//! What stands in the certificates of a site (RFC 5280).

use super::{Authority, PKey, Private, Public};
use cirro_models::{Name, SiteRole, Timestamp};
use openssl::{
    asn1::{Asn1Integer, Asn1Time, Asn1TimeRef},
    bn::BigNum,
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{HasPublic, PKeyRef},
    x509::{
        X509, X509Builder, X509Extension, X509Name, X509NameBuilder, X509Ref,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier},
    },
};
use std::{fs::OpenOptions, io::Write, net::IpAddr, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};
use uuid::{NoContext, Uuid};

/// How far back validity begins, for clocks that differ.
const BACK: Duration = Duration::from_secs(300);
/// How long an authority lasts.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// How long a certificate for callers lasts: browsers take none that lasts longer than 398 days.
const EDGE_LIFE: Duration = Duration::from_secs(397 * 86_400);
/// What stands before the site's name in the authority's own.
const CALLED: &str = "Cirro site ";

/// The authority's own certificate: it signs certificates, and none below it signs others.
pub(super) fn of_authority(site: &Name, key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let name = named(Some(&format!("{CALLED}{site}")))?;
    let mut builder = begun(key, &name, Timestamp::now(), AUTHORITY_LIFE)?;
    builder.set_issuer_name(&name)?;
    builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(identifier)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// The site that an authority's certificate names.
pub(super) fn site_of(certificate: &X509Ref) -> Option<Name> {
    let entry = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next()?;
    let name = entry.data().to_string().ok()?;
    Name::parse(name.strip_prefix(CALLED)?).ok()
}

/// A certificate that says that the holder of a key has a role in the site.
///
/// It has no common name: what it says stands in its URI, and etcd's gateway refuses clients that have one.
pub(super) fn of_role(
    authority: &Authority,
    role: SiteRole,
    key: &PKey<Public>,
    made: Timestamp,
) -> Result<X509, ErrorStack> {
    let mut names = SubjectAlternativeName::new();
    names.uri(&role.uri(&authority.site));
    if let Some(dns) = role.dns() {
        names.dns(&dns);
    }
    let usage = ExtendedKeyUsage::new().client_auth().server_auth().build()?;
    // etcd does not ask for the next one, as every process of Cirro does
    let life = if role == SiteRole::Registry { EDGE_LIFE } else { authority.life };
    issued(authority, key, &mut names, usage, (made, life))
}

/// A certificate of a server that is called by these names and addresses.
pub(super) fn of_edge<T: HasPublic>(
    authority: &Authority,
    called: &[String],
    key: &PKeyRef<T>,
) -> Result<X509, ErrorStack> {
    let mut names = SubjectAlternativeName::new();
    for name in called {
        match name.parse::<IpAddr>() {
            Ok(_) => names.ip(name),
            Err(_) => names.dns(name),
        };
    }
    let usage = ExtendedKeyUsage::new().server_auth().build()?;
    issued(authority, key, &mut names, usage, (Timestamp::now(), EDGE_LIFE))
}

/// Whether two thirds of a certificate's life are over.
pub(super) fn is_due(certificate: &X509Ref, now: Timestamp) -> Result<bool, ErrorStack> {
    let seconds = |until: &Asn1TimeRef| {
        let passed = certificate.not_before().diff(until)?;
        Ok::<_, ErrorStack>(i64::from(passed.days) * 86_400 + i64::from(passed.secs))
    };
    let now = Asn1Time::from_unix(now.micros() / 1_000_000)?;
    Ok(seconds(&now)? * 3 >= seconds(certificate.not_after())? * 2)
}

fn issued<T: HasPublic>(
    authority: &Authority,
    key: &PKeyRef<T>,
    names: &mut SubjectAlternativeName,
    usage: X509Extension,
    (made, life): (Timestamp, Duration),
) -> Result<X509, ErrorStack> {
    let mut builder = begun(key, &named(None)?, made, life)?;
    builder.set_issuer_name(authority.certificate.subject_name())?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    builder.append_extension(usage)?;
    // an empty subject makes these the name, which is then critical (RFC 5280 §4.2.1.6)
    let names = names.critical().build(&builder.x509v3_context(Some(&authority.certificate), None))?;
    builder.append_extension(names)?;
    builder.sign(&authority.key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn begun<T: HasPublic>(
    key: &PKeyRef<T>,
    subject: &X509Name,
    made: Timestamp,
    life: Duration,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(serial(made)?.as_ref())?;
    builder.set_subject_name(subject)?;
    let now = Duration::from_micros(made.micros().unsigned_abs());
    let at = |since: Duration| Asn1Time::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    builder.set_not_before(at(now.saturating_sub(BACK))?.as_ref())?;
    builder.set_not_after(at(now + life)?.as_ref())?;
    builder.set_pubkey(key)?;
    Ok(builder)
}

/// A number that tells when the certificate was made; see [`cirro_client::credential::made_at`].
fn serial(made: Timestamp) -> Result<Asn1Integer, ErrorStack> {
    let since = Duration::from_micros(made.micros().unsigned_abs());
    let moment = uuid::Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos());
    BigNum::from_slice(Uuid::new_v7(moment).as_bytes())?.to_asn1_integer()
}

fn named(name: Option<&str>) -> Result<X509Name, ErrorStack> {
    let mut builder = X509NameBuilder::new()?;
    if let Some(name) = name {
        builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    }
    Ok(builder.build())
}

/// Writes a file that was not there, which only its owner reads.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
