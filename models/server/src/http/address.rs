//! Where a request comes from.

use actix_web::{HttpMessage, HttpRequest};
use std::net::{IpAddr, Ipv4Addr};

/// The client's address as the service bus tells it. Put into a request's extensions only by what has checked that the
/// bus has sent the request: no header says it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Where a request comes from: what the bus tells, or else who is connected.
pub fn client_address(request: &HttpRequest) -> IpAddr {
    let told = request.extensions().get::<ClientAddress>().map(|told| told.0);
    let peer = || request.peer_addr().map(|peer| peer.ip());
    // without a peer there is one place that all such requests share
    told.or_else(peer).unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}
