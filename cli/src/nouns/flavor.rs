//! `cirro flavor`.

use crate::{
    failure::Failure,
    nouns::{Noun, project::vcpus},
    quantity,
    site::Site,
    table::Column,
    verbs::{Create, Delete, LabelChanges, Labelled, Labels, List, Request, Show, Update},
};
use cirro_models::{
    GiB, MiB, Name, Vcpus,
    compute::{
        Flavor,
        flavor::{FlavorFilter, FlavorPatch, NewFlavor},
    },
};
use clap::{Args, Subcommand};

impl Noun for Flavor {
    const WORD: &'static str = "flavor";
    const NAME: Option<fn(&Self) -> &Name> = Some(|flavor| &flavor.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |flavor, _| flavor.name.to_string()),
        Column("VCPUS", |flavor, _| flavor.vcpus.get().to_string()),
        Column("MEMORY", |flavor, _| flavor.memory_mib.to_string()),
        Column("DISK", |flavor, _| flavor.disk_gib.to_string()),
        Column("ID", |flavor, _| flavor.id.to_string()),
    ];
    fn named(name: Name) -> Option<FlavorFilter> {
        Some(FlavorFilter { name: Some(name), ..FlavorFilter::default() })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List flavors: the sizes that instances come in
    List(List<Narrow>),
    /// Show a flavor
    Show(Show),
    /// Create a flavor: for operators
    Create(Create<New>),
    /// Change a flavor's name or labels; its sizes stay
    Update(Update<Change>),
    /// Delete flavors; instances keep their size
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<FlavorFilter> for Narrow {
    async fn read(self, _: &Site) -> Result<FlavorFilter, Failure> {
        Ok(FlavorFilter { name: self.name, label: self.label.label })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// Virtual processors
    #[arg(long, value_name = "N", value_parser = vcpus)]
    vcpus: Vcpus,
    /// Memory, such as 512MiB or 2GiB
    #[arg(long, value_name = "SIZE", value_parser = quantity::memory)]
    memory: MiB,
    /// The root disk, such as 10GiB
    #[arg(long, value_name = "SIZE", value_parser = quantity::disk)]
    disk: GiB,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewFlavor> for New {
    async fn read(self, _: &Site) -> Result<NewFlavor, Failure> {
        Ok(NewFlavor {
            name: self.name,
            vcpus: self.vcpus,
            memory_mib: self.memory,
            disk_gib: self.disk,
            labels: self.labels.read(),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<FlavorPatch> for Change {
    async fn read(self, _: &Site) -> Result<FlavorPatch, Failure> {
        Ok(FlavorPatch { name: self.name, labels: self.labels.read() })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<Flavor>(site).await,
            Self::Show(args) => args.run::<Flavor>(site).await,
            Self::Create(args) => args.run::<Flavor>(site).await,
            Self::Update(args) => args.run::<Flavor>(site).await,
            Self::Delete(args) => args.run::<Flavor>(site).await,
        }
    }
}
