//! Where an endpoint is reached: a host and a port, and whether TLS is spoken there.

use cirro_models::{Error, Result};
use std::{fmt, sync::Arc};

/// The longest host name that DNS knows (RFC 1035).
const LONGEST_HOST: usize = 253;

/// One endpoint's address. It can only be made from text that holds nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    host: Arc<str>,
    port: u16,
    tls: bool,
}

impl Address {
    /// Reads `host:port`, where the host is a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(text: &str, tls: bool) -> Result<Self> {
        let refused = || {
            Error::invalid("address", format!("{text:?} is no address: give it as HOST:PORT, such as 10.0.0.5:7443"))
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(refused)?;
        Self::new(host, port, tls).ok_or_else(refused)
    }
    /// The address of these parts, if the host can be one.
    pub(crate) fn new(host: &str, port: u16, tls: bool) -> Option<Self> {
        let fits = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
            None => {
                (1..=LONGEST_HOST).contains(&host.len())
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
            }
        };
        fits.then(|| Self { host: host.into(), port, tls })
    }
    /// The host as a socket or a certificate check wants it: an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// Whether TLS is spoken there.
    pub(crate) fn tls(&self) -> bool {
        self.tls
    }
    /// `host:port`, as the `Host` header says it.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_addresses() {
        for good in ["10.0.0.5:7443", "node-1.example:80", "[::1]:8080"] {
            assert_eq!(Address::parse(good, false).unwrap().to_string(), format!("http://{good}"));
        }
        let hostile = [
            "", "a", ":80", "a:0", "a:99999", "a:-1", "::1:80", "[::1:80", "[x]:80", "a b:80", "a/x:80", "u@a:80",
            "a;}:80", "a\n:80", "a:80/x", "a:80;",
        ];
        for bad in hostile {
            assert!(Address::parse(bad, true).is_err(), "{bad:?}");
        }
    }
}
