//! `cirro site simulate` and `cirro site simulate-power`.

use crate::{failure::Failure, out, simulated::Fare};
use cirro_deploy::simulated::{
    apart::{self, Options},
    power::{self, Order},
};
use cirro_models::Name;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The folder of a site that `cirro site up` runs; keys, certificates and ledger of the nodes are kept in it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the site takes nodes [default: what its folder says]
    #[arg(long, value_name = "https://HOST:PORT")]
    nodes_url: Option<String>,
    /// How many nodes, up to 10000: node-0001, node-0002 and so on, in racks r01 to r10
    #[arg(long = "nodes", id = "simulate", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    simulate: u32,
    /// The number of the first, for nodes beside those of other processes
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first: u32,
    #[command(flatten)]
    fare: Fare,
    /// End when standard input does: for whoever starts it and may die
    #[arg(long)]
    until_stdin_closes: bool,
}

impl SimulateArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (nodes, first) = (self.simulate, self.first);
        let options = Options {
            data: self.data,
            url: self.nodes_url,
            simulation: self.fare.of(nodes, first),
            until_stdin_closes: self.until_stdin_closes,
        };
        let ran = apart::run(options, || {
            // they work on, also when nobody reads this any more
            let _ =
                out::text(&format!("{nodes} simulated nodes work, from node-{first:04} on; Ctrl-C ends their agents"));
        });
        // there is no request here whose id would help
        ran.await.map_err(|error| Failure::of(error, ""))
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Asked {
    Off,
    Status,
}

/// As compute calls a fence command.
#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    /// The folder of the site
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// What is asked of the machine
    #[arg(value_enum)]
    asked: Asked,
    /// The node's name
    node: Name,
    /// Its labels, which say nothing here
    #[arg(value_name = "LABEL=VALUE", allow_hyphen_values = true)]
    labels: Vec<String>,
}

impl PowerArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let order = match self.asked {
            Asked::Off => Order::Off,
            Asked::Status => Order::Status,
        };
        let said = power::ask(&self.data, order, &self.node).await.map_err(|error| Failure::of(error, ""))?;
        out::text(&said)
    }
}
