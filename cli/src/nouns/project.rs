//! `cirro project`.

use crate::{
    failure::Failure,
    nouns::Noun,
    quantity,
    site::Site,
    table::Column,
    verbs::{Create, Delete, LabelChanges, Labelled, Labels, List, Request, Show, Update, clearable},
};
use cirro_models::{
    Count, GiB, MiB, Name, Vcpus,
    identity::{
        Project,
        project::{NewProject, ProjectFilter, ProjectPatch},
    },
};
use clap::{Args, Subcommand};

impl Noun for Project {
    const WORD: &'static str = "project";
    const NAME: Option<fn(&Self) -> &Name> = Some(|project| &project.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |project, _| project.name.to_string()),
        Column("DESCRIPTION", |project, _| project.description.clone().unwrap_or_default()),
        Column("MAX INSTANCES", |project, _| project.max_instances.to_string()),
        Column("MAX VCPUS", |project, _| project.max_vcpus.get().to_string()),
        Column("MAX MEMORY", |project, _| project.max_memory_mib.to_string()),
        Column("ID", |project, _| project.id.to_string()),
    ];
    fn named(name: Name) -> Option<ProjectFilter> {
        Some(ProjectFilter { name: Some(name), ..ProjectFilter::default() })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the projects that you may see
    List(List<Narrow>),
    /// Show a project with its limits
    Show(Show),
    /// Create a project; limits that you do not give are generous
    Create(Create<New>),
    /// Change a project's name, description or limits
    Update(Update<Change>),
    /// Delete projects
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
impl Request<ProjectFilter> for Narrow {
    async fn read(self, _: &Site) -> Result<ProjectFilter, Failure> {
        Ok(ProjectFilter { name: self.name, label: self.label.label })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// At most this many instances
    #[arg(long = "max-instances", value_name = "N", value_parser = count, help_heading = "Limits")]
    instances: Option<Count>,
    /// At most this many virtual processors in all instances
    #[arg(long = "max-vcpus", value_name = "N", value_parser = vcpus, help_heading = "Limits")]
    vcpus: Option<Vcpus>,
    /// At most this much memory in all instances, such as 64GiB
    #[arg(long = "max-memory", value_name = "SIZE", value_parser = quantity::memory, help_heading = "Limits")]
    memory: Option<MiB>,
    /// At most this many volumes
    #[arg(long = "max-volumes", value_name = "N", value_parser = count, help_heading = "Limits")]
    volumes: Option<Count>,
    /// At most this much in all volumes, such as 10TiB
    #[arg(long = "max-volume-size", value_name = "SIZE", value_parser = quantity::disk, help_heading = "Limits")]
    volume_size: Option<GiB>,
    /// At most this much in all images, such as 100GiB
    #[arg(long = "max-image-size", value_name = "SIZE", value_parser = quantity::disk, help_heading = "Limits")]
    image_size: Option<GiB>,
}

fn number(text: &str, max: i64) -> Result<i64, String> {
    let number = text.parse().ok().filter(|number| (0..=max).contains(number));
    number.ok_or_else(|| format!("give a whole number from 0 to {max}"))
}
/// How many of something.
pub(crate) fn count(text: &str) -> Result<Count, String> {
    number(text, Count::MAX.get()).map(Count::new)
}
/// Virtual processors.
pub(crate) fn vcpus(text: &str) -> Result<Vcpus, String> {
    number(text, Vcpus::MAX.get()).map(Vcpus::new)
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewProject> for New {
    async fn read(self, _: &Site) -> Result<NewProject, Failure> {
        Ok(NewProject {
            name: self.name,
            description: self.description,
            max_instances: self.limits.instances,
            max_vcpus: self.limits.vcpus,
            max_memory_mib: self.limits.memory,
            max_volumes: self.limits.volumes,
            max_volume_gib: self.limits.volume_size,
            max_image_gib: self.limits.image_size,
            labels: self.labels.read(),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    /// What it is for; empty removes it
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<ProjectPatch> for Change {
    async fn read(self, _: &Site) -> Result<ProjectPatch, Failure> {
        Ok(ProjectPatch {
            name: self.name,
            description: clearable(self.description),
            max_instances: self.limits.instances,
            max_vcpus: self.limits.vcpus,
            max_memory_mib: self.limits.memory,
            max_volumes: self.limits.volumes,
            max_volume_gib: self.limits.volume_size,
            max_image_gib: self.limits.image_size,
            labels: self.labels.read(),
        })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<Project>(site).await,
            Self::Show(args) => args.run::<Project>(site).await,
            Self::Create(args) => args.run::<Project>(site).await,
            Self::Update(args) => args.run::<Project>(site).await,
            Self::Delete(args) => args.run::<Project>(site).await,
        }
    }
}
