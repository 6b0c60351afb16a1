//! `cirro site registry`.

use crate::{args::Global, failure::Failure, out, site_verbs::place::PlaceArgs, table};
use cirro_client::registry::Found;
use cirro_models::Service;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The folder of a credential of the site, for a registry over TLS
    #[arg(long, value_name = "DIR")]
    credential: Option<PathBuf>,
}

impl RegistryArgs {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let registered = self.place.whole(self.credential, None).await?.registered().await?;
        if global.output() == out::Format::Json {
            return out::json(&json!({ "items": registered.iter().map(item).collect::<Vec<_>>() }));
        }
        let header = vec!["SERVICE", "ID", "ADDRESS", "VERSION"];
        out::text(&table::plain(Some(header), registered.iter().map(row)))
    }
}

fn item((service, found): &(Service, Found)) -> Value {
    let mut item = json!({ "service": service.name(), "id": found.key });
    match &found.entry {
        Ok(entry) => {
            item["address"] = entry.address.clone().into();
            item["version"] = entry.version.clone().into();
        }
        Err(why) => item["unreadable"] = why.clone().into(),
    }
    item
}

fn row((service, found): &(Service, Found)) -> Vec<String> {
    let told = match &found.entry {
        Ok(entry) => [entry.address.clone(), entry.version.clone()],
        Err(why) => [format!("unreadable: {why}"), String::new()],
    };
    [service.name().to_owned(), found.key.clone()].into_iter().chain(told).collect()
}
