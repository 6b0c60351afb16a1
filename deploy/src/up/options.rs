//! What `cirro up` can be told.

use crate::simulated::Simulation;
use cirro_compute::fence::Patience;
use cirro_models::{Error, Result};
use std::{net::SocketAddr, path::PathBuf};

/// What `cirro up` can be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is kept.
    pub data: PathBuf,
    /// Where the API answers; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether this machine runs guests.
    pub agent: bool,
    /// The simulated nodes that there are besides.
    pub simulation: Simulation,
    /// What switches off the machine of a node that is lost, and says whether it is off; simulated nodes need none.
    pub fence_command: Option<PathBuf>,
    /// How long nodes may be silent, and what they do may take.
    pub patience: Patience,
    /// The file with the token that whoever scrapes its metrics shows; without it there are none.
    pub metrics_token: Option<PathBuf>,
}

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        if !self.listen.ip().is_loopback() {
            return Err(Error::invalid(
                "listen",
                format!(
                    "{} can be reached from other machines, and passwords may cross a network only with a certificate, \
                     which `cirro up` does not have: use 127.0.0.1, and a proxy with TLS in front of it",
                    self.listen.ip()
                ),
            ));
        }
        self.simulation.check(Simulation::MOST_HERE)
    }
}
