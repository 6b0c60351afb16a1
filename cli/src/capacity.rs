//! `cirro capacity`: how many more instances fit.

use crate::{failure::Failure, out, resolve, site::Site};
use cirro_models::{
    Error, Id,
    compute::{
        Flavor,
        capacity::{Bound, Capacity},
    },
};
use clap::Args;
use serde_json::Value;

#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    /// The size of the instances; see `cirro flavor list`
    #[arg(long, value_name = "NAME|ID")]
    flavor: String,
}

impl CapacityArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let flavor: Id<Flavor> = resolve::id(site, &self.flavor).await?;
        let path = &format!("/compute/v1/capacity/{flavor}");
        let read = |ctx| async move { site.http().json::<Capacity>(&ctx, "GET", path, None::<&Value>).await };
        let told = site.call(None, read).await?.value;
        if site.is_json() {
            return out::json(&serde_json::to_value(&told).map_err(Error::internal)?);
        }
        let bound = match told.bound {
            Bound::Quota => "then the project's quota is used up",
            _ => "then the nodes are full",
        };
        let on_nodes = match (told.on_nodes, told.nodes) {
            (Some(all), Some(nodes)) => format!("\n{nodes} nodes have room for {all} of them, whatever the quota"),
            _ => String::new(),
        };
        out::text(&format!("{} more instances of flavor {} fit; {bound}{on_nodes}\n", told.more, self.flavor))
    }
}
