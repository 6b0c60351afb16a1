//! `cirro serve`: one service in this process.

use crate::{failure::Failure, out};
use cirro_deploy::{
    Patience,
    serve::{self, Options},
};
use cirro_models::Service;
use clap::{Args, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Identity,
    Compute,
    Storage,
    Images,
}

impl From<Which> for Service {
    fn from(which: Which) -> Self {
        match which {
            Which::Identity => Self::Identity,
            Which::Compute => Self::Compute,
            Which::Storage => Self::Storage,
            Which::Images => Self::Images,
        }
    }
}

/// What becomes of nodes that are lost.
#[derive(Debug, Args)]
pub(crate) struct Fencing {
    /// compute: the program that switches off the machine of a lost node; it is called with `off` or `status`, the node's
    /// name and its labels. Without it, nothing is ever taken over from a node (see deploy/examples/fence-ipmi)
    #[arg(long = "fence-command", value_name = "PATH")]
    pub(crate) command: Option<PathBuf>,
    /// compute: after how many seconds without a word a node is silent; after twice as many it is lost
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=3600))]
    silent_after: u64,
    /// compute: after how many seconds with something that it has begun and not finished a node is stuck, though it reports;
    /// it gets nothing new then, and is lost when it stays so for as long as nodes may be silent. Image bytes that it waits
    /// for do not count
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(2..=86_400))]
    stuck_after: u64,
}

impl Fencing {
    pub(crate) fn patience(&self) -> Patience {
        Patience {
            stuck: Duration::from_secs(self.stuck_after),
            ..Patience::of(Duration::from_secs(self.silent_after))
        }
    }
}

#[derive(Args)]
pub(crate) struct ServeArgs {
    /// The service
    #[arg(value_enum)]
    service: Which,
    /// Its database; a URL with a password belongs into the variable `CIRRO_DATABASE`, because everybody sees arguments
    #[arg(long, value_name = "postgres://…|sqlite:FILE", env = "CIRRO_DATABASE", hide_env_values = true)]
    database: String,
    /// Where the site's processes find each other
    #[arg(long, value_name = "etcd(s)://HOST:PORT/PREFIX", env = "CIRRO_REGISTRY")]
    registry: String,
    /// Where it answers; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Under which address others reach it, if not the one it listens on
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// The folder with its certificate and key, which `cirro site init` makes
    #[arg(long, value_name = "DIR")]
    credential: PathBuf,
    /// identity: the folder of the site's authority, for certificates of nodes and for renewals
    #[arg(long, value_name = "DIR")]
    authority: Option<PathBuf>,
    /// identity: the first administrator's login, which `cirro site init` makes
    #[arg(long, value_name = "FILE")]
    first_admin: Option<PathBuf>,
    /// images: where bytes are kept; all of its processes share this folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where copies of the database go that are taken before a new release changes its tables
    #[arg(long, value_name = "DIR")]
    backup_dir: Option<PathBuf>,
    #[command(flatten)]
    fencing: Fencing,
    /// The file with the token of whoever scrapes /metrics, which `cirro site init` makes; without it there are none
    #[arg(long = "metrics-token-file", value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// How many seconds it goes on answering after it was told to end and has left the registry
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    drain: u64,
    /// End when standard input does: for whoever starts it and may die
    #[arg(long)]
    until_stdin_closes: bool,
}

impl ServeArgs {
    /// The service's name.
    pub(crate) fn service(&self) -> &'static str {
        Service::from(self.service).name()
    }
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let service = Service::from(self.service);
        let options = Options {
            service,
            database: self.database,
            registry: self.registry,
            listen: self.listen,
            advertise: self.advertise,
            credential: self.credential,
            authority: self.authority,
            data: self.data,
            backups: self.backup_dir,
            first_admin: self.first_admin,
            patience: self.fencing.patience(),
            fence_command: self.fencing.command,
            metrics_token: self.metrics,
            drain: Duration::from_secs(self.drain),
            until_stdin_closes: self.until_stdin_closes,
        };
        let ran = serve::run(options, |address| {
            // it serves on, also when nobody reads this any more
            let _ = out::text(&format!("{} answers at https://{address}", service.name()));
        });
        // there is no request here whose id would help
        ran.await.map_err(|error| Failure::of(error, ""))
    }
}

impl std::fmt::Debug for ServeArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the URL of the database may hold a password
        write!(f, "ServeArgs of {:?} at {}", self.service, self.listen)
    }
}
