//! Where a request comes from.

use crate::tls::Peer;
use actix_web::HttpRequest;
use cirro_models::SiteRole;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// In which the service bus tells where a request comes from; whatever a client wrote there, the bus writes over.
pub const CLIENT_HEADER: &str = "x-cirro-client";

/// Where a request comes from: what the bus tells, if its certificate says that it is the bus, or else who is connected.
pub fn client_address(request: &HttpRequest) -> IpAddr {
    let by_bus = Peer::of(request).is_some_and(|peer| peer.role == SiteRole::Bus);
    let told = || request.headers().get(CLIENT_HEADER)?.to_str().ok()?.parse().ok();
    let peer = || request.peer_addr().map(|peer| peer.ip());
    let found = if by_bus { told().or_else(peer) } else { peer() };
    // without a peer there is one place that all such requests share
    found.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

/// What counts as one place when tries are counted: a household or a machine has a whole /64 (RFC 6177), and an IPv4
/// address is itself, however it is written.
pub fn place_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
