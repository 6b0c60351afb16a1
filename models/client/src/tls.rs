//! TLS of the client side: whom this process trusts, who it says it is, and which role the peer must have.
//!
//! Trust can be swapped while calls are under way: a connection takes what stands when it is opened, and the pool bounds
//! the age of connections.

use crate::{
    address::Address,
    link::{Io, Protocol},
};
use cirro_models::{Error, Result, SiteRole};
use hyper_openssl::SslStream;
use openssl::{
    error::ErrorStack,
    pkey::{PKey, Private},
    ssl::{
        ConnectConfiguration, SslConnector, SslConnectorBuilder, SslMethod, SslOptions, SslRef, SslSessionCacheMode,
        SslVerifyMode, SslVersion,
    },
    x509::{X509, X509Ref, X509VerifyResult, store::X509StoreBuilder},
};
use parking_lot::{Mutex, RwLock};
use std::{
    fmt, io,
    path::Path,
    pin::Pin,
    sync::{Arc, OnceLock},
};

/// What may be spoken, best first, as ALPN writes it (RFC 7301).
pub(crate) const SPOKEN: &[u8] = b"\x02h2\x08http/1.1";
/// For what HTTP/2 can't carry: a WebSocket.
pub(crate) const PLAIN: &[u8] = b"\x08http/1.1";

/// Who this process is: its certificate, what lies between that and the CA, and its key.
#[derive(Clone)]
pub struct Identity {
    chain: Vec<X509>,
    key: PKey<Private>,
}

impl Identity {
    /// Reads a chain, own certificate first, and its key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        let unusable = |what: &str, error: ErrorStack| {
            Error::invalid("identity", format!("the {what} can't be used ({error}): give it as PEM, unencrypted"))
        };
        let chain = X509::stack_from_pem(chain).map_err(|error| unusable("certificate", error))?;
        let key = PKey::private_key_from_pem(key).map_err(|error| unusable("key", error))?;
        let own = chain.first().ok_or_else(|| Error::invalid("identity", "there is no certificate in the file"))?;
        let public = own.public_key().map_err(|error| unusable("certificate", error))?;
        if !public.public_eq(&key) {
            return Err(Error::invalid(
                "identity",
                "the key is not the certificate's: give the two that belong together",
            ));
        }
        Ok(Self { chain, key })
    }
}

impl Identity {
    /// Lets a connection show it.
    fn show(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        for (place, certificate) in self.chain.iter().enumerate() {
            match place {
                0 => ssl.set_certificate(certificate)?,
                _ => ssl.add_chain_cert(certificate.clone())?,
            }
        }
        ssl.set_private_key(&self.key)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {} certificates", self.chain.len())
    }
}

/// What connections are opened with now.
struct Current {
    /// Whom they trust; held once for all who trust the same.
    trust: Arc<SslConnector>,
    /// Who they say they are.
    identity: Option<Identity>,
}

impl Current {
    fn trusting(trust: Arc<SslConnector>, identity: Option<&Identity>) -> Arc<RwLock<Arc<Self>>> {
        Arc::new(RwLock::new(Arc::new(Self { trust, identity: identity.cloned() })))
    }
}

/// What connections are opened with; clones share it, so that a swap reaches them all.
#[derive(Clone)]
pub struct Tls {
    current: Arc<RwLock<Arc<Current>>>,
    role: Option<Arc<str>>,
    /// The name that goes along with the first message (SNI): where TLS is passed through, it says to which service.
    name: Option<Arc<str>>,
}

impl Tls {
    /// Trusts the system's authorities and those of a PEM file, and checks the peer's name.
    pub fn system(ca_file: Option<&Path>) -> Result<Self> {
        let mut builder = prepared().map_err(Error::internal)?;
        if let Some(file) = ca_file {
            builder.set_ca_file(file).map_err(|error| {
                Error::invalid(
                    "ca_file",
                    format!("{} holds no usable certificate ({error}): give a PEM file", file.display()),
                )
            })?;
        }
        Ok(Self { current: Current::trusting(Arc::new(builder.build()), None), role: None, name: None })
    }
    /// Trusts the authorities in this PEM text and no others, and shows this identity.
    pub fn site(ca: &[u8], identity: Option<&Identity>) -> Result<Self> {
        Ok(Self { current: Current::trusting(of_site(ca)?, identity), role: None, name: None })
    }
    /// Trusts whoever is there: only for what is public, and checked by other means.
    pub(crate) fn blind() -> Result<Self> {
        static TRUST: OnceLock<Arc<SslConnector>> = OnceLock::new();
        let trust = if let Some(trust) = TRUST.get() {
            trust.clone()
        } else {
            let mut builder = prepared().map_err(Error::internal)?;
            builder.set_verify(SslVerifyMode::NONE);
            TRUST.get_or_init(|| Arc::new(builder.build())).clone()
        };
        Ok(Self { current: Current::trusting(trust, None), role: None, name: None })
    }
    /// The same for peers of one role, such as `cirro://lab/service/compute`: it takes the place of the name, because
    /// endpoints of a registry are known by address only. A bus that passes TLS through is told the role's DNS name.
    #[must_use]
    pub fn expecting(&self, role: &str) -> Self {
        let name = SiteRole::read(role).and_then(|(_, role)| role.dns()).map(Into::into);
        Self { current: self.current.clone(), role: Some(role.into()), name }
    }
    /// From now on, new connections trust and show this.
    pub fn swap(&self, ca: &[u8], identity: Option<&Identity>) -> Result<()> {
        let fresh = Current { trust: of_site(ca)?, identity: identity.cloned() };
        *self.current.write() = Arc::new(fresh);
        Ok(())
    }
    /// Shakes hands over an open stream, offering these protocols, and says what is spoken.
    pub(crate) async fn open<S>(
        &self,
        address: &Address,
        stream: S,
        spoken: &[u8],
    ) -> io::Result<(Box<dyn Io>, Protocol)>
    where
        S: Io + 'static,
    {
        let current = self.current.read().clone();
        let mut config: ConnectConfiguration = current.trust.configure()?;
        config.set_verify_hostname(self.role.is_none());
        let mut ssl = config.into_ssl(self.name.as_deref().unwrap_or(address.host()))?;
        if let Some(identity) = &current.identity {
            identity.show(&mut ssl)?;
        }
        ssl.set_alpn_protos(spoken)?;
        let mut stream = SslStream::new(ssl, stream)?;
        if let Err(error) = Pin::new(&mut stream).connect().await {
            // OpenSSL's own words only say that the certificate was refused, and not that it has expired, say
            let why = match stream.ssl().verify_result() {
                X509VerifyResult::OK => error.to_string(),
                reason => format!("its certificate is refused: {}", refusal(reason)),
            };
            return Err(io::Error::other(format!("no TLS: {why}")));
        }
        if let Some(role) = &self.role {
            let shown = stream.ssl().peer_certificate().map(|peer| roles(&peer)).unwrap_or_default();
            if shown != [&**role] {
                return Err(io::Error::other(format!("it is {shown:?} and should be {role}")));
            }
        }
        let many = stream.ssl().selected_alpn_protocol() == Some(b"h2");
        Ok((Box::new(stream), if many { Protocol::Many } else { Protocol::One }))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls expecting {:?}", self.role)
    }
}

/// Why a certificate is refused, with what to look at.
pub fn refusal(reason: X509VerifyResult) -> String {
    // X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL's x509_vfy.h
    match reason.as_raw() {
        9 => format!("{reason}: check the clocks of this machine and of the one that shows it, which differ"),
        10 => format!("{reason}: renew it, or check this machine's clock"),
        _ => reason.to_string(),
    }
}

/// The URIs among a certificate's names.
fn roles(peer: &X509Ref) -> Vec<String> {
    let names = peer.subject_alt_names();
    names.iter().flatten().filter_map(|name| name.uri().map(str::to_owned)).collect()
}

/// What every connection has in common.
fn prepared() -> Result<SslConnectorBuilder, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_alpn_protos(SPOKEN)?;
    // a resumed session would skip the certificates, and with them a swapped authority
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    // a record's head and body are read at once: half the system calls of a connection that says little
    builder.set_read_ahead(true);
    Ok(builder)
}

/// What trusts the authorities in this PEM text and no others. The last one is kept: a process that has thousands of
/// identities trusts one site, and to make a connector takes tens of milliseconds, in which it reads the system's authorities.
fn of_site(ca: &[u8]) -> Result<Arc<SslConnector>> {
    static LAST: Mutex<Option<(Vec<u8>, Arc<SslConnector>)>> = Mutex::new(None);
    let known = LAST.lock().as_ref().filter(|(known, _)| known == ca).map(|(_, trust)| trust.clone());
    if let Some(known) = known {
        return Ok(known);
    }
    let trust = Arc::new(trusting(ca)?);
    *LAST.lock() = Some((ca.to_vec(), trust.clone()));
    Ok(trust)
}

fn trusting(ca: &[u8]) -> Result<SslConnector> {
    let unusable =
        |error: ErrorStack| Error::invalid("ca", format!("it holds no usable certificate ({error}): give it as PEM"));
    let authorities = X509::stack_from_pem(ca).map_err(unusable)?;
    if authorities.is_empty() {
        return Err(Error::invalid("ca", "it holds no certificate: give the site's CA as PEM"));
    }
    let build = || {
        let mut builder = prepared()?;
        // the builder comes with the system's authorities, which have no say inside a site
        let mut store = X509StoreBuilder::new()?;
        for authority in authorities {
            store.add_cert(authority)?;
        }
        builder.set_cert_store(store.build());
        Ok(builder.build())
    };
    build().map_err(unusable)
}
