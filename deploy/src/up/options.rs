//! What `cirro up` can be told.

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
    /// How many simulated nodes there are besides.
    pub simulate: u32,
    /// The file with the token that whoever scrapes its metrics shows; without it there are none.
    pub metrics_token: Option<PathBuf>,
}

/// The most simulated nodes of one process.
const MOST_SIMULATED: u32 = 500;

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
        if self.simulate > MOST_SIMULATED {
            return Err(Error::invalid(
                "simulate",
                format!("{} nodes are too many for one process: use at most {MOST_SIMULATED}", self.simulate),
            ));
        }
        Ok(())
    }
}
