//! nginx's configuration, written from what is known of the site. Nothing that somebody else wrote stands in it but
//! addresses that were parsed, and paths that were checked to be words of that language.

use cirro_models::{Error, Result, Service};
use std::{fmt::Write, net::SocketAddr, path::Path};

/// What the bus is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bus {
    /// Where people and scripts call.
    pub(crate) listen: SocketAddr,
    /// Where agents of nodes call: their TLS goes through to the services, which see the node's own certificate.
    pub(crate) nodes: Option<SocketAddr>,
    /// nginx's own folder: configuration, logs, what it keeps while it runs.
    pub(crate) folder: Word,
    /// Certificate and key that callers see.
    pub(crate) edge: Word,
    /// Certificate and key that services see.
    pub(crate) credential: Word,
    /// The site's authority.
    pub(crate) ca: Word,
    /// The most connections of one of nginx's workers.
    pub(crate) connections: u64,
    /// As whom nginx's workers run, if it is started by root.
    pub(crate) user: Option<Word>,
}

/// A word that means itself in nginx's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word(String);

impl Word {
    /// Checks that a text is one.
    pub(crate) fn new(text: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.+@:=,".contains(&byte);
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(Error::invalid(
                "path",
                format!("{text:?} can't stand in nginx's configuration: use letters, digits and /-_.+@:=, only"),
            ));
        }
        Ok(Self(text.to_owned()))
    }
    /// The same of a path.
    pub(crate) fn path(path: &Path) -> Result<Self> {
        Self::new(&path.to_string_lossy())
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the processes of each service are.
pub(crate) type Members = [(Service, Vec<SocketAddr>); 4];

impl Bus {
    /// The whole configuration.
    pub(crate) fn text(&self, members: &Members) -> String {
        let mut upstreams = String::new();
        for (service, addresses) in members {
            upstreams += &upstream(service.name(), addresses, "keepalive 64; keepalive_timeout 60s;");
        }
        let user = self.user.as_ref().map(|user| format!("user {user};\n")).unwrap_or_default();
        let (module, stream) = self.nodes.map(|listen| (MODULE, Self::stream(listen, members))).unwrap_or_default();
        let empty = members.iter().filter(|(_, addresses)| addresses.is_empty());
        let empty: String = empty.map(|(service, _)| format!("        {} 1;\n", service.name())).collect();
        let names = members.iter().map(|(service, _)| service.name()).collect::<Vec<_>>().join("|");
        let http = HTTP
            .replace("@UPSTREAMS@", &upstreams)
            .replace("@LISTEN@", &self.listen.to_string())
            .replace("@SERVICES@", &names)
            .replace("@EMPTY@", &empty)
            .replace("@EDGE@", &self.edge.0)
            .replace("@CREDENTIAL@", &self.credential.0)
            .replace("@CA@", &self.ca.0);
        format!("# Written by `cirro site bus`: what is changed here is lost.\n{user}{module}{HEAD}{http}{stream}")
            .replace("@CONNECTIONS@", &self.connections.to_string())
            .replace("@FOLDER@", &self.folder.0)
    }
    /// The part for nodes: by the name that an agent asks for, unopened.
    fn stream(listen: SocketAddr, members: &Members) -> String {
        let (mut upstreams, mut names) = (String::new(), String::new());
        for (service, addresses) in members {
            let name = service.name();
            upstreams += &upstream(&format!("{name}_nodes"), addresses, "");
            // writing to a string can't fail
            let _ = writeln!(names, "        {name}.cirro.internal {name}_nodes;");
        }
        STREAM.replace("@UPSTREAMS@", &upstreams).replace("@NAMES@", &names).replace("@LISTEN@", &listen.to_string())
    }
}

/// One group of processes; an empty one is never asked.
fn upstream(name: &str, addresses: &[SocketAddr], more: &str) -> String {
    let mut servers = String::new();
    for address in addresses {
        let _ = write!(servers, "\n        server {address} max_fails=1 fail_timeout=1s;");
    }
    if servers.is_empty() {
        servers += "\n        server 127.0.0.1:9 down;";
    }
    let more = if more.is_empty() { String::new() } else { format!("\n        {more}") };
    format!("    upstream {name} {{\n        zone {name} 128k;\n        least_conn;{servers}{more}\n    }}\n")
}

/// Debian keeps the module apart.
const MODULE: &str = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n";

const HEAD: &str = include_str!("nginx/head.conf");
const HTTP: &str = include_str!("nginx/http.conf");
const STREAM: &str = include_str!("nginx/stream.conf");

#[cfg(test)]
mod tests;
