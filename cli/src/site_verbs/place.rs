//! Which site an operator's verb is about.

use crate::failure::Failure;
use cirro_deploy::site::Whole;
use cirro_models::Error;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The folder of a site that `cirro site up` runs: it says all the rest
    #[arg(long, value_name = "DIR", required_unless_present = "registry")]
    data: Option<PathBuf>,
    /// Where the site's processes find each other
    #[arg(long, value_name = "etcd(s)://HOST:PORT/PREFIX", env = "CIRRO_REGISTRY", conflicts_with = "data")]
    registry: Option<String>,
}

impl PlaceArgs {
    /// The site. `credential` and `bus` are what was given beside it.
    pub(super) async fn whole(self, credential: Option<PathBuf>, bus: Option<String>) -> Result<Whole, Failure> {
        if let Some(data) = self.data {
            let noted =
                tokio::task::spawn_blocking(move || Whole::of_folder(&data)).await.map_err(Error::internal)??;
            let credential = credential.unwrap_or(noted.credential);
            return Ok(Whole { credential, bus: bus.or(noted.bus), ..noted });
        }
        let registry = self.registry.unwrap_or_default();
        Ok(Whole { registry, bus, credential: credential.unwrap_or_default(), nodes: None })
    }
}
