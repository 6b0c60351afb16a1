//! `cirro instance resize`: what makes something else of an instance that exists.

use crate::{
    failure::Failure,
    nouns::instance::awaited,
    resolve,
    site::Site,
    verbs::{Key, update},
    wait::Wait,
};
use cirro_models::compute::{Instance, instance::InstancePatch};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Resize {
    /// The instance's name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    /// Its new size; the disk can only grow
    #[arg(long, value_name = "NAME|ID")]
    flavor: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}

impl Resize {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<Instance>(site, &self.which).await?;
        let flavor_id = Some(resolve::id(site, &self.flavor).await?);
        let patch = InstancePatch { flavor_id, ..InstancePatch::default() };
        let begun = update::<Instance>(site, id, patch, &self.key).await?;
        awaited(site, &self.which, begun, &self.wait).await
    }
}
