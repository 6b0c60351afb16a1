//! Who is at the other end of a connection, as its certificate says.

use actix_web::{HttpRequest, dev::Extensions, rt::net::TcpStream};
use cirro_client::credential::{ends_at, made_at, role_of};
use cirro_models::{SiteRole, Timestamp};
use std::any::Any;

/// Who is at the other end of a connection, by a certificate that was verified when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// What it is to the site.
    pub role: SiteRole,
    /// When its certificate was made: what is revoked as of later has ended.
    pub made_at: Timestamp,
    /// When its certificate ends: a connection may be open for longer.
    pub ends_at: Timestamp,
}

impl Peer {
    /// Who sends this request, if that was proven by a certificate.
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.conn_data::<Self>().copied()
    }
}

/// Notes the peer of a new connection for its requests; to be given to
/// [`HttpServer::on_connect`](actix_web::HttpServer::on_connect).
pub fn client_certificate(connection: &dyn Any, data: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<actix_tls::accept::openssl::TlsStream<TcpStream>>() else { return };
    let Some(shown) = stream.ssl().peer_certificate() else { return };
    // all are there in what the site's authority makes, and nothing else gets through the handshake
    if let (Some((_, role)), Some(made_at), Ok(ends_at)) = (role_of(&shown), made_at(&shown), ends_at(&shown)) {
        data.insert(Peer { role, made_at, ends_at });
    }
}
