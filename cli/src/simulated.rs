//! What is typed of simulated nodes, wherever they live.

use cirro_deploy::simulated::{Boot, Failing, Simulation};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// How simulated nodes fare, on which scripts meet failures before users do.
#[derive(Debug, Args)]
pub(crate) struct Fare {
    /// What chance follows on simulated nodes: the same seed, the same failures
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "simulate")]
    seed: u64,
    /// What goes wrong on which simulated nodes, and from when on. NODES: node-0005, node-0001..0050, or 5% of them.
    /// WHAT: refuse (every build fails), error=5% (builds fail by chance), slow=2s, hang (nothing that is done returns),
    /// silent (the agent dies, its guests run on), crash (agent and machine vanish). Can be given several times
    #[arg(long, value_name = "NODES:WHAT[@WHEN]", requires = "simulate")]
    fail: Vec<Failing>,
    /// How long a simulated guest takes to start, in milliseconds: 200, or 100..500 by chance
    #[arg(long, value_name = "MS[..MS]", default_value_t = Boot::default(), requires = "simulate")]
    boot_ms: Boot,
    /// Virtual processors of each simulated node, with 4 GiB of memory each
    #[arg(long, value_name = "N", default_value_t = Simulation::VCPUS, requires = "simulate")]
    node_vcpus: u32,
    /// Give simulated machines a watchdog, which stops their guests when they have not heard from compute for so many seconds. What is
    /// lost is then taken over without switching machines off
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600), requires = "simulate")]
    watchdog: Option<u64>,
    /// Append a line for all that is done to simulated guests: time, node, instance, what, and JSON that tells more. Machines begin with
    /// what it says is there: take a new one for a new site
    #[arg(long, value_name = "FILE", requires = "simulate")]
    ledger: Option<PathBuf>,
}

impl Fare {
    /// So many nodes that fare so.
    pub(crate) fn of(self, nodes: u32, first: u32) -> Simulation {
        let Self { seed, fail, boot_ms, node_vcpus, watchdog, ledger } = self;
        let watchdog = watchdog.map(Duration::from_secs);
        Simulation { nodes, first, seed, failing: fail, boot: boot_ms, vcpus: node_vcpus, watchdog, ledger }
    }
}
