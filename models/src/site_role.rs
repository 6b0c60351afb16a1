//! What a process is to its site: the URI in its certificate.

use crate::{Id, Name, Service, compute::Node};
use std::fmt;

/// What a certificate of the site's authority says that its holder is, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SiteRole {
    /// A process of this service.
    Service(Service),
    /// The service bus: it passes requests on, and its word on where they come from is believed.
    Bus,
    /// The registry's servers: they are called, and call nobody.
    Registry,
    /// The agent of this node.
    Node(Id<Node>),
}

impl SiteRole {
    /// As it stands in a certificate: `cirro://lab/service/compute`.
    pub fn uri(self, site: &Name) -> String {
        format!("cirro://{site}/{self}")
    }
    /// The site and the role that a URI names, if it is one of these.
    pub fn read(uri: &str) -> Option<(Name, Self)> {
        let (site, role) = uri.strip_prefix("cirro://")?.split_once('/')?;
        let (kind, name) = role.split_once('/')?;
        let role = match kind {
            "service" if name == "bus" => Self::Bus,
            "service" if name == "registry" => Self::Registry,
            "service" => Self::Service(Service::ALL.into_iter().find(|service| service.name() == name)?),
            "node" => Self::Node(name.parse().ok()?),
            _ => return None,
        };
        Some((Name::parse(site).ok()?, role))
    }
    /// The DNS name of it that nginx can check, which looks at no URI; nodes have none.
    pub fn dns(self) -> Option<String> {
        let name = match self {
            Self::Service(service) => service.name(),
            Self::Bus => "bus",
            Self::Registry => "registry",
            Self::Node(_) => return None,
        };
        Some(format!("{name}.cirro.internal"))
    }
}

impl fmt::Display for SiteRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "service/{}", service.name()),
            Self::Bus => f.write_str("service/bus"),
            Self::Registry => f.write_str("service/registry"),
            Self::Node(id) => write!(f, "node/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_was_written_and_nothing_else_is_one() {
        let site = Name::parse("lab").unwrap();
        for role in [SiteRole::Service(Service::Compute), SiteRole::Bus, SiteRole::Registry, SiteRole::Node(Id::new())]
        {
            assert_eq!(SiteRole::read(&role.uri(&site)), Some((site.clone(), role)));
        }
        for none in [
            "",
            "cirro://lab",
            "cirro://lab/service",
            "cirro://lab/service/",
            "cirro://lab/service/root",
            "cirro://lab/service/compute/x",
            "cirro:///service/compute",
            "cirro://la b/service/compute",
            "https://lab/service/compute",
            "cirro://lab/node/1",
        ] {
            assert_eq!(SiteRole::read(none), None, "{none}");
        }
    }
}
