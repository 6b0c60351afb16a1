//! `cirro site …`: what an operator does with a site of several processes.

mod bus;
mod init;
mod logs;
mod place;
mod registry;
mod status;
mod up;

use crate::{args::Global, failure::Failure};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the site's certificate authority, and what its services prove their roles with; can be repeated
    Init(init::InitArgs),
    /// Run nginx in front of the site's services, with a configuration that follows the registry
    Bus(bus::BusArgs),
    /// Run a site of real processes on this machine, to try it: they are started again when they end
    Up(up::UpArgs),
    /// How every process of the site is, asked of each directly, with the registry and the bus; exit code 1 if not all is well
    Status(status::StatusArgs),
    /// Show what stands in the registry
    Registry(registry::RegistryArgs),
    /// All logs of a site as one stream in the order of time
    Logs(logs::LogsArgs),
}

impl Verb {
    /// Whether it runs until it is told to end.
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Self::Bus(_) | Self::Up(_))
    }
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Init(args) => args.run().await,
            Self::Bus(args) => args.run().await,
            Self::Up(args) => args.run().await,
            Self::Status(args) => args.run(global).await,
            Self::Registry(args) => args.run(global).await,
            Self::Logs(args) => args.run(global).await,
        }
    }
}
