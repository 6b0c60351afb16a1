//! `cirro site init`.

use crate::{failure::Failure, out};
use cirro_deploy::site;
use cirro_models::{Error, Name};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder that will hold them; keep its part `authority` secret and safe
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The site's name, which stands in every certificate
    #[arg(long, value_name = "NAME")]
    name: Name,
    /// A name or address that people call the site by; give it for each. It stands in the certificate of the bus
    #[arg(long, value_name = "NAME|ADDR", default_values = ["localhost", "127.0.0.1", "::1"])]
    edge: Vec<String>,
}

impl InitArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { dir, name, edge } = self;
        let at = dir.clone();
        let made = tokio::task::spawn_blocking(move || site::init(&at, &name, &edge)).await.map_err(Error::internal)?;
        let made = made.map_err(|error| Failure::of(error, ""))?;
        let mut told = Vec::new();
        if made.new {
            told.push(format!(
                "the site {} has an authority in {} and a login for its first administrator in {}",
                made.site,
                dir.join(site::AUTHORITY).display(),
                dir.join(site::FIRST_ADMIN).display()
            ));
        }
        told.extend(made.credentials.iter().map(|folder| format!("new credential: {}", folder.display())));
        if made.credentials.is_empty() {
            told.push("all credentials are good: nothing was made".to_owned());
        }
        out::text(&told.join("\n"))
    }
}
