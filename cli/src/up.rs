//! `cirro up`: a whole site in this process.

use crate::{
    failure::Failure,
    out,
    profile::{Folder, Profile},
    serve::Fencing,
    simulated::Fare,
};
use cirro_deploy::up::{self, FirstLogin, Options};
use cirro_models::Error;
use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

/// Where a site answers if nobody says otherwise.
const LISTEN: &str = "127.0.0.1:7070";

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where everything is kept [default: /var/lib/cirro for root, else ~/.local/share/cirro]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the API answers; other addresses than this machine's own need a certificate
    #[arg(long, value_name = "ADDR:PORT", default_value = LISTEN)]
    listen: SocketAddr,
    /// Run no guests on this machine
    #[arg(long)]
    no_agent: bool,
    /// Add this many simulated nodes, whose guests are only entries in their books: node-0001, node-0002 and so on, in
    /// racks r01 to r10, with a public image `demo`; the first project may have 2000 instances
    #[arg(long, value_name = "N")]
    simulate: Option<u32>,
    #[command(flatten)]
    fare: Fare,
    #[command(flatten)]
    fencing: Fencing,
    /// The file with the token of whoever scrapes /metrics, 16 characters or more; without it there are none
    #[arg(long = "metrics-token-file", value_name = "FILE")]
    metrics: Option<PathBuf>,
}

impl UpArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let data = match self.data {
            Some(data) => data,
            None => default_data()?,
        };
        let options = Options {
            data,
            listen: self.listen,
            agent: !self.no_agent,
            simulation: self.fare.of(self.simulate.unwrap_or(0), 1),
            patience: self.fencing.patience(),
            fence_command: self.fencing.command,
            metrics_token: self.metrics,
        };
        let ran = up::run(options, keep, |url| {
            // the site runs on, also when nobody reads this any more
            let _ = out::text(&format!(
                "the site answers at {url} (documentation: {url}/docs/); Ctrl-C ends it, its guests run on"
            ));
        });
        // there is no request here whose id would help
        ran.await.map_err(|error| Failure::of(error, ""))
    }
}

fn default_data() -> Result<PathBuf, Failure> {
    // guests' disks must be reachable for the user that QEMU runs as, which nothing below /root is
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/cirro"));
    }
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    home.map(|home| home.join(".local/share/cirro"))
        .ok_or_else(|| Failure::usage("there is no home folder: say with --data where to keep the site"))
}

/// Keeps the first administrator's login where the other commands find it, and tells it once.
fn keep(first: &FirstLogin) -> cirro_models::Result<()> {
    let folder = Folder::find().map_err(|failure| Error::unavailable(failure.sentence()))?;
    let profile =
        Profile::with_password(&first.url, &first.admin.name, first.admin.password.clone(), &first.admin.project);
    let kept = folder.read().and_then(|earlier| earlier.map(|earlier| folder.set_aside(&earlier)).transpose());
    let written = kept.and_then(|_| folder.write(&profile));
    written.map_err(|failure| Error::unavailable(failure.sentence()))?;
    let told = out::text(&format!(
        "the site's first administrator is \"{}\" with the password {}\nthis is shown once; it is kept in {} for the other commands",
        first.admin.name,
        first.admin.password.expose(),
        folder.file().display()
    ));
    // it is in the profile by now
    told.map_err(|failure| Error::unavailable(failure.sentence()))
}
