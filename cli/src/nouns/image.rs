//! `cirro image`: machine images.

use crate::{
    bytes::{download::Download, upload::Upload},
    failure::Failure,
    nouns::{Noun, yes},
    quantity,
    site::Site,
    table::Column,
    verbs::{Delete, LabelChanges, Labelled, List, Request, Show, Update},
    wait::{Progress, Wait},
};
use cirro_models::{
    Name,
    images::{
        MachineImage,
        machine_image::{ImageStatus, MachineImageFilter, MachineImagePatch},
    },
};
use clap::{Args, Subcommand};

impl Noun for MachineImage {
    const WORD: &'static str = "image";
    const NAME: Option<fn(&Self) -> &Name> = Some(|image| &image.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |image, _| image.name.to_string()),
        Column("STATUS", |image, _| image.status.to_string()),
        Column("FORMAT", |image, _| image.format.to_string()),
        Column("SIZE", |image, _| image.size_bytes.map(|size| quantity::bytes(size.get())).unwrap_or_default()),
        Column("DISK", |image, _| image.virtual_bytes.map(|size| quantity::bytes(size.get())).unwrap_or_default()),
        Column("PUBLIC", |image, _| yes(image.public)),
        Column("ID", |image, _| image.id.to_string()),
    ];
    fn named(name: Name) -> Option<MachineImageFilter> {
        Some(MachineImageFilter { name: Some(name), ..MachineImageFilter::default() })
    }
    fn state(&self) -> Option<(String, Option<String>)> {
        Some((self.status.to_string(), None))
    }
    fn created(&self) -> Progress {
        match self.status {
            ImageStatus::Ready => Progress::Reached,
            ImageStatus::Deleting => Progress::Failed,
            _ => Progress::UnderWay,
        }
    }
    fn is_public(&self) -> bool {
        self.public
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List images: your project's, and public ones
    List(List<Narrow>),
    /// Show an image
    Show(Show),
    /// Upload a disk image
    Create(Upload),
    /// Change an image's name, labels, or who may use it
    Update(Update<Change>),
    /// Delete images; instances made from them run on
    Delete(Delete<Wait>),
    /// Download an image, and check that it came whole
    Download(Download),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    /// Only those with this status
    #[arg(long, value_name = "awaiting|ready|deleting")]
    status: Option<ImageStatus>,
    /// Only public ones, or with `false` only private ones
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    public: Option<bool>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<MachineImageFilter> for Narrow {
    async fn read(self, _: &Site) -> Result<MachineImageFilter, Failure> {
        Ok(MachineImageFilter {
            name: self.name,
            public: self.public,
            status: self.status,
            label: self.label.label,
            ..MachineImageFilter::default()
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    /// Whether every project may use it: for operators
    #[arg(long, value_name = "true|false")]
    public: Option<bool>,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<MachineImagePatch> for Change {
    async fn read(self, _: &Site) -> Result<MachineImagePatch, Failure> {
        Ok(MachineImagePatch { name: self.name, public: self.public, labels: self.labels.read() })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<MachineImage>(site).await,
            Self::Show(args) => args.run::<MachineImage>(site).await,
            Self::Create(args) => args.run(site).await,
            Self::Update(args) => args.run::<MachineImage>(site).await,
            Self::Delete(args) => args.run::<MachineImage>(site).await,
            Self::Download(args) => args.run(site).await,
        }
    }
}
