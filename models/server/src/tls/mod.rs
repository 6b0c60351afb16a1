//! TLS of the serving side: who this process is, and who its peers are.
//!
//! A peer may come without a certificate: then a token says who it is. One that it shows must be the site authority's, in
//! force, and name one role in this site, or the handshake ends and the log says why.
//!
//! What is shown and trusted can be swapped while connections are open: OpenSSL asks for the context of each new one
//! ([`SslContextBuilder::set_client_hello_callback`]).

mod peer;

pub use peer::{Peer, client_certificate};

use cirro_client::{Credential, credential::role_of, tls::refusal};
use cirro_models::{Error, Name, Result};
use openssl::{
    error::ErrorStack,
    ssl::{
        AlpnError, ClientHelloResponse, SslAcceptor, SslAcceptorBuilder, SslContext, SslContextBuilder, SslMethod,
        SslOptions, SslSessionCacheMode, SslVerifyMode,
    },
    x509::{X509, X509Ref, X509StoreContextRef, store::X509StoreBuilder},
};
use parking_lot::RwLock;
use std::sync::Arc;

/// What a process serves with.
#[derive(Clone)]
pub struct ServingTls {
    current: Arc<RwLock<SslContext>>,
}

impl ServingTls {
    /// With this credential.
    pub fn new(credential: &Credential) -> Result<Self> {
        let context = prepared(credential)?.build().into_context();
        Ok(Self { current: Arc::new(RwLock::new(context)) })
    }
    /// From now on, new connections are shown this.
    pub fn swap(&self, credential: &Credential) -> Result<()> {
        let fresh = prepared(credential)?.build().into_context();
        *self.current.write() = fresh;
        Ok(())
    }
    /// What an HTTP server takes connections with.
    pub fn acceptor(&self, credential: &Credential) -> Result<SslAcceptorBuilder> {
        let mut builder = prepared(credential)?;
        let current = self.current.clone();
        builder.set_client_hello_callback(move |ssl, _| {
            ssl.set_ssl_context(&current.read())?;
            Ok(ClientHelloResponse::SUCCESS)
        });
        Ok(builder)
    }
}

fn prepared(credential: &Credential) -> Result<SslAcceptorBuilder> {
    let identity = credential.key()?;
    let build = || -> Result<SslAcceptorBuilder, ErrorStack> {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        builder.set_certificate(credential.certificate())?;
        builder.set_private_key(&identity)?;
        trust(&mut builder, credential)?;
        // a record's head and body are read at once: half the system calls of a connection that says little
        builder.set_read_ahead(true);
        Ok(builder)
    };
    build().map_err(|error| {
        Error::invalid(
            "credential",
            format!("OpenSSL can't serve with it ({error}): make it anew with `cirro site init`"),
        )
    })
}

fn trust(builder: &mut SslContextBuilder, credential: &Credential) -> Result<(), ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for authority in X509::stack_from_pem(credential.ca())? {
        builder.add_client_ca(&authority)?;
        store.add_cert(authority)?;
    }
    builder.set_cert_store(store.build());
    let site = credential.site().clone();
    builder.set_verify_callback(SslVerifyMode::PEER, move |good, context| accept(&site, good, context));
    // a resumed session would skip the certificates, and with them a swapped authority
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_session_id_context(b"cirro")?;
    // a context that takes another's place brings its own choice of protocol
    builder.set_alpn_select_callback(|_, offered| {
        let speaks = |protocol: &[u8]| offered.windows(protocol.len()).any(|window| window == protocol);
        match (speaks(b"\x02h2"), speaks(b"\x08http/1.1")) {
            (true, _) => Ok(b"h2"),
            (_, true) => Ok(b"http/1.1"),
            _ => Err(AlpnError::NOACK),
        }
    });
    Ok(())
}

/// Whether a peer's certificate is accepted, asked for each one of its chain; the log tells what was not.
fn accept(site: &Name, good: bool, context: &mut X509StoreContextRef) -> bool {
    let leaf = context.error_depth() == 0;
    let role = context.current_cert().and_then(role_of);
    let shown = || {
        let named = context.current_cert().and_then(X509Ref::subject_alt_names);
        let uris = named.iter().flatten().filter_map(|name| name.uri()).take(3).collect::<Vec<_>>().join(", ");
        // it is a stranger's text
        uris.chars().take(200).flat_map(char::escape_default).collect::<String>()
    };
    if !good {
        let reason = refusal(context.error());
        tracing::warn!(peer = shown(), "tls.refused: a peer's certificate is refused: {reason}");
        return false;
    }
    let ours = role.is_some_and(|(named, _)| named == *site);
    if leaf && !ours {
        tracing::warn!(peer = shown(), "tls.refused: a peer's certificate names no role in the site {site}");
        return false;
    }
    true
}
