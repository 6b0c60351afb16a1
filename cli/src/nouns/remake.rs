//! `cirro instance resize`, `rebuild` and `recover`: what makes something else, or something that works again, of an
//! instance that exists.

use crate::{
    escape,
    failure::Failure,
    input,
    nouns::{Noun, instance::awaited},
    resolve,
    site::Site,
    verbs::{Key, update},
    wait::Wait,
};
use cirro_models::{
    Error, Id, Verbs,
    compute::{
        Instance,
        instance::{InstancePatch, InstanceStatus},
    },
};
use clap::Args;
use std::io::{self, IsTerminal};

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

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The instance's name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    /// Another image than the one that it has
    #[arg(long, value_name = "NAME|ID")]
    image: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The instance's name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
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

impl Rebuild {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<Instance>(site, &self.which).await?;
        let image_id = resolve::maybe(site, self.image.as_ref()).await?;
        if !self.yes {
            agreed(&get(site, id).await?.label())?;
        }
        let patch = InstancePatch { image_id, rebuild: Some(true), ..InstancePatch::default() };
        let begun = update::<Instance>(site, id, patch, &self.key).await?;
        awaited(site, &self.which, begun, &self.wait).await
    }
}

impl Recover {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<Instance>(site, &self.which).await?;
        let instance = get(site, id).await?;
        if instance.status != InstanceStatus::Failed {
            let label = instance.label();
            return Err(Error::conflict(format!(
                "instance {label} is {}, and only a failed one is recovered: see what it does (`cirro instance show {label}`)",
                instance.status
            ))
            .into());
        }
        // the same wish, uttered again: a new generation of it
        let patch = InstancePatch { power: Some(instance.power), ..InstancePatch::default() };
        let begun = update::<Instance>(site, id, patch, &self.key).await?;
        awaited(site, &self.which, begun, &self.wait).await
    }
}

async fn get(site: &Site, id: Id<Instance>) -> Result<Instance, Failure> {
    Ok(site.call(None, |ctx| async move { Instance::get(&ctx, id).await }).await?.value)
}

/// Asks whether it is meant: what is on the root disk is lost.
fn agreed(label: &str) -> Result<(), Failure> {
    let what = format!("what is on the root disk of instance {} is lost", escape::line(label));
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "nothing is rebuilt: {what}, and there is no terminal to ask on; repeat with --yes if this is meant"
        )));
    }
    match input::ask(&format!("By a rebuild, {what}; volumes stay. Type yes"))?.as_str() {
        "yes" | "y" => Ok(()),
        _ => Err(Failure::failed(format!("nothing is rebuilt: instance {} stays as it is", escape::line(label)))),
    }
}
