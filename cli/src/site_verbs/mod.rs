//! `cirro site …`: what an operator does with a site of several processes.

mod bus;
mod init;
mod up;

use crate::failure::Failure;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the site's certificate authority, and what its services prove their roles with; can be repeated
    Init(init::InitArgs),
    /// Run nginx in front of the site's services, with a configuration that follows the registry
    Bus(bus::BusArgs),
    /// Run a site of real processes on this machine, to try it: they are started again when they end
    Up(up::UpArgs),
}

impl Verb {
    /// Whether it runs until it is told to end.
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Self::Bus(_) | Self::Up(_))
    }
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Init(args) => args.run().await,
            Self::Bus(args) => args.run().await,
            Self::Up(args) => args.run().await,
        }
    }
}
