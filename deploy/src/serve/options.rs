//! What a process of one service is told.

use cirro_compute::fence::Patience;
use cirro_models::{Error, Result, Service};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// What a process of one service is told.
#[derive(Clone)]
pub struct Options {
    /// Which service it is.
    pub service: Service,
    /// Its database: `postgres://…`, or `sqlite:…` for a service of one process. It may hold a password.
    pub database: String,
    /// Where the processes of the site find each other: `etcd://HOST:PORT/PREFIX`.
    pub registry: String,
    /// Where it answers; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Under which `host:port` others reach it, if not where it listens.
    pub advertise: Option<String>,
    /// The folder of its credential, as `cirro site init` makes it.
    pub credential: PathBuf,
    /// The folder of the site's authority; identity's processes have it.
    pub authority: Option<PathBuf>,
    /// Where the bytes of images are; all processes of the images service share this folder.
    pub data: Option<PathBuf>,
    /// Where copies of the database go that are taken before its tables are changed.
    pub backups: Option<PathBuf>,
    /// How the first administrator will log in, as `cirro site init` wrote it; for identity.
    pub first_admin: Option<PathBuf>,
    /// What switches off the machine of a node that is lost, and says whether it is off; for compute.
    pub fence_command: Option<PathBuf>,
    /// How long nodes may be silent, and what they do may take; for compute.
    pub patience: Patience,
    /// The file with the token that whoever scrapes its metrics shows; without it there are none.
    pub metrics_token: Option<PathBuf>,
    /// How long it goes on answering after it has left the registry, so that everybody hears of it.
    pub drain: Duration,
    /// Whether the end of standard input ends it.
    pub until_stdin_closes: bool,
}

impl Options {
    /// Where others reach it.
    pub(super) fn address(&self, bound: SocketAddr) -> Result<String> {
        match &self.advertise {
            // a free port is known only now
            Some(given) if given.ends_with(":0") => Ok(format!("{}:{}", given.trim_end_matches(":0"), bound.port())),
            Some(given) => Ok(given.clone()),
            None if bound.ip().is_unspecified() => Err(Error::invalid(
                "listen",
                format!(
                    "{bound} is every address of this machine and none that others could use: add --advertise HOST:PORT"
                ),
            )),
            None => Ok(bound.to_string()),
        }
    }
    /// Where a service registers and is found.
    pub(super) fn registry_of(&self, service: Service) -> String {
        format!("{}/{}", self.registry.trim_end_matches('/'), service.name())
    }
}
