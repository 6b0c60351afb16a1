//! `cirro site …`: what an operator does with a site of several processes.

mod backup;
mod bus;
mod init;
mod logs;
mod place;
mod queue;
mod registry;
mod simulate;
mod status;
mod up;

use crate::{args::Global, failure::Failure, site::Site};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the site's certificate authority, and what its services prove their roles with; can be repeated
    Init(init::InitArgs),
    /// Run nginx in front of the site's services, with a configuration that follows the registry
    Bus(bus::BusArgs),
    /// Run a site of real processes on this machine, to try it: they are started again when they end
    Up(up::UpArgs),
    /// Simulate nodes for a site that runs: real agents in this process, over machines whose guests are entries in a ledger
    #[command(after_help = "Examples:\n  cirro site simulate --data /srv/try --nodes 100\n  \
        cirro site simulate --data /srv/try --nodes 5000 --first 5001\n\n\
        Killed and started again, they are the same nodes with the same guests.")]
    Simulate(simulate::SimulateArgs),
    /// Tell or cut the power of a simulated machine: the fence command of a site that simulates its nodes
    #[command(hide = true)]
    SimulatePower(simulate::PowerArgs),
    /// Show the work that services have deferred; requeue or drop what they gave up
    #[command(after_help = "Examples:\n  cirro site queue --dead\n  cirro site queue requeue images 0197…\n  \
        cirro site queue drop images 0197…\n\n\
        What is done is shown for a day. A requeued job is tried as often as a new one.")]
    Queue(queue::Queue),
    /// Copy all databases, the authority and the credentials into one file, while the site runs
    Backup(backup::BackupArgs),
    /// Make a site from such a file, where there is none
    Restore(backup::RestoreArgs),
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
        matches!(self, Self::Bus(_) | Self::Up(_) | Self::Simulate(_))
    }
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Init(args) => args.run().await,
            Self::Bus(args) => args.run().await,
            Self::Up(args) => args.run().await,
            Self::Simulate(args) => args.run().await,
            Self::SimulatePower(args) => args.run().await,
            Self::Queue(args) => args.run(&Site::open(global)?).await,
            Self::Backup(args) => args.run().await,
            Self::Restore(args) => args.run().await,
            Self::Status(args) => args.run(global).await,
            Self::Registry(args) => args.run(global).await,
            Self::Logs(args) => args.run(global).await,
        }
    }
}
