//! `cirro site bus`.

use crate::{failure::Failure, out};
use cirro_deploy::bus::{self, Options};
use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, Args)]
pub(crate) struct BusArgs {
    /// Follow the registry until told to end; without this, nginx is brought up to date once and left running
    #[arg(long)]
    watch: bool,
    /// Where the site's processes find each other
    #[arg(long, value_name = "etcd(s)://HOST:PORT/PREFIX", env = "CIRRO_REGISTRY")]
    registry: String,
    /// Where people and scripts call
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where the agents of nodes call
    #[arg(long, value_name = "ADDR:PORT")]
    nodes_listen: Option<SocketAddr>,
    /// The folder with its certificates, which `cirro site init` makes
    #[arg(long, value_name = "DIR")]
    credential: PathBuf,
    /// The folder for nginx: its configuration and its logs
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// End when standard input does: for whoever starts it and may die
    #[arg(long)]
    until_stdin_closes: bool,
}

impl BusArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let options = Options {
            registry: self.registry,
            listen: self.listen,
            nodes: self.nodes_listen,
            credential: self.credential,
            folder: self.dir,
            watch: self.watch,
            until_stdin_closes: self.until_stdin_closes,
        };
        let ran = bus::run(options, |url| {
            // it runs on, also when nobody reads this any more
            let _ = out::text(&format!("the bus answers at {url}"));
        });
        ran.await.map_err(|error| Failure::of(error, ""))
    }
}
