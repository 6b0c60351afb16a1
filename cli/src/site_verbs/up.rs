//! `cirro site up`.

use crate::{
    failure::Failure,
    out,
    profile::{Folder, Profile},
    simulated::Fare,
};
use cirro_deploy::site::up::{self, Options, Started, Workers};
use cirro_identity::bootstrap::FirstAdmin;
use cirro_models::{Error, Name, Result};
use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

#[derive(Args)]
pub(crate) struct UpArgs {
    /// Where everything is kept
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The site's name
    #[arg(long, default_value = "local")]
    name: Name,
    /// How many processes of each service; one of each that is not named
    #[arg(long, value_name = "identity=2,compute=3,…", default_value = "")]
    workers: Workers,
    /// A database of a PostgreSQL server on which others may be created; with a password, better in `CIRRO_POSTGRES`
    #[arg(long, value_name = "postgres://…", env = "CIRRO_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// The servers of etcd
    #[arg(long, value_name = "etcd(s)://HOST:PORT", env = "CIRRO_ETCD")]
    etcd: String,
    /// Where people and scripts call
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Where the agents of nodes call
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7444")]
    nodes_listen: SocketAddr,
    /// Add this many simulated nodes, which one more process has, with a public image `demo`: see `cirro site simulate`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    simulate: Option<u32>,
    #[command(flatten)]
    fare: Fare,
}

impl UpArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let fare = self.fare;
        let options = Options {
            data: self.data,
            name: self.name,
            workers: self.workers,
            postgres: self.postgres,
            etcd: self.etcd,
            listen: self.listen,
            nodes: Some(self.nodes_listen),
            simulation: self.simulate.map(|nodes| fare.of(nodes, 1)),
        };
        // there is no request here whose id would help
        up::run(options, ready).await.map_err(|error| Failure::of(error, ""))
    }
}

fn ready(started: &Started) -> Result<()> {
    let failed = |failure: Failure| Error::unavailable(failure.sentence());
    if started.new {
        let text = std::fs::read(&started.first_admin).map_err(Error::internal)?;
        let admin: FirstAdmin = serde_json::from_slice(&text).map_err(Error::internal)?;
        let folder = Folder::find().map_err(failed)?;
        let mut profile = Profile::with_password(&started.url, &admin.name, admin.password, &admin.project);
        profile.ca_file = Some(started.ca_file.clone());
        let earlier = folder.read().map_err(failed)?;
        earlier.map(|earlier| folder.set_aside(&earlier)).transpose().map_err(failed)?;
        folder.write(&profile).map_err(failed)?;
        let told = format!(
            "the site's first administrator is \"{}\"; the login is kept in {} for the other commands",
            admin.name,
            folder.file().display()
        );
        out::text(&told).map_err(failed)?;
    }
    // the site runs on, also when nobody reads this any more
    let _ = out::text(&format!(
        "the site answers at {} (documentation: {}/docs/, authority: {}); Ctrl-C ends it, its guests run on",
        started.url,
        started.url,
        started.ca_file.display()
    ));
    Ok(())
}

impl std::fmt::Debug for UpArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the URL of the database may hold a password
        write!(f, "UpArgs of {} in {}", self.name, self.data.display())
    }
}
