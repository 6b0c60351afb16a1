//! `cirro volume`.

use crate::{
    failure::Failure,
    nouns::Noun,
    quantity, resolve,
    site::Site,
    table::Column,
    verbs::{
        Create, Delete, Ending, Key, LabelChanges, Labelled, Labels, List, Protection, Request, Show, Update, create,
        delete, show,
    },
    wait::{Patience, Progress, Wait},
};
use cirro_models::{
    GiB, Name, Page, Verbs,
    storage::{
        Attachment, Volume,
        attachment::{AttachmentFilter, NewAttachment},
        volume::{NewVolume, VolumeFilter, VolumePatch, VolumeStatus},
    },
};
use clap::{Args, Subcommand};

impl Noun for Volume {
    const WORD: &'static str = "volume";
    const NAME: Option<fn(&Self) -> &Name> = Some(|volume| &volume.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |volume, _| volume.name.to_string()),
        Column("STATUS", |volume, _| volume.status.to_string()),
        Column("SIZE", |volume, _| volume.size_gib.to_string()),
        Column("POOL", |volume, names| names.maybe(volume.pool_id.map(cirro_models::Id::uuid))),
        Column("ID", |volume, _| volume.id.to_string()),
    ];
    fn named(name: Name) -> Option<VolumeFilter> {
        Some(VolumeFilter { name: Some(name), ..VolumeFilter::default() })
    }
    fn state(&self) -> Option<(String, Option<String>)> {
        Some((self.status.to_string(), self.status_reason.clone()))
    }
    fn created(&self) -> Progress {
        match self.status {
            VolumeStatus::Available | VolumeStatus::Attached => Progress::Reached,
            VolumeStatus::Failed | VolumeStatus::Deleting => Progress::Failed,
            _ => Progress::UnderWay,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List volumes: disks that outlive instances
    List(List<Narrow>),
    /// Show a volume
    Show(Show),
    /// Create an empty volume
    Create(Create<New, Wait>),
    /// Change a volume's name, labels or protection
    Update(Update<Change>),
    /// Delete volumes and what is on them
    Delete(Delete<Wait>),
    /// Attach a volume to an instance, which may be running
    Attach(Attach),
    /// Detach a volume from its instance; unmount it in the guest first
    Detach(Detach),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    /// Only those with this status
    #[arg(long, value_name = "creating|available|attached|deleting|failed")]
    status: Option<VolumeStatus>,
    /// Only those in this pool
    #[arg(long, value_name = "NAME|ID")]
    pool: Option<String>,
    /// Only those on this node
    #[arg(long, value_name = "NAME|ID")]
    node: Option<String>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<VolumeFilter> for Narrow {
    async fn read(self, site: &Site) -> Result<VolumeFilter, Failure> {
        Ok(VolumeFilter {
            name: self.name,
            pool_id: resolve::maybe(site, self.pool.as_ref()).await?,
            node_id: resolve::maybe(site, self.node.as_ref()).await?,
            status: self.status,
            label: self.label.label,
            ..VolumeFilter::default()
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// Its size, such as 10GiB
    #[arg(long, value_parser = quantity::disk)]
    size: GiB,
    /// Refuse to delete it until that is lifted
    #[arg(long)]
    protect: bool,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewVolume> for New {
    async fn read(self, _: &Site) -> Result<NewVolume, Failure> {
        let protected = self.protect.then_some(true);
        Ok(NewVolume { name: self.name, size_gib: self.size, protected, labels: self.labels.read() })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    protection: Protection,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<VolumePatch> for Change {
    async fn read(self, _: &Site) -> Result<VolumePatch, Failure> {
        Ok(VolumePatch { name: self.name, protected: self.protection.read(), labels: self.labels.read() })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// The volume's name or id
    volume: String,
    /// The instance's name or id
    instance: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}
impl Attach {
    async fn run(self, site: &Site) -> Result<(), Failure> {
        let volume_id = resolve::id(site, &self.volume).await?;
        let instance_id = resolve::id(site, &self.instance).await?;
        let new = NewAttachment { volume_id, instance_id, labels: cirro_models::Labels::new() };
        let said = create::<Attachment>(site, new, &self.key, self.wait.longest()).await?;
        show(site, &said).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Detach {
    /// The volume's name or id
    volume: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}
impl Detach {
    async fn run(self, site: &Site) -> Result<(), Failure> {
        let volume_id = resolve::id::<Volume>(site, &self.volume).await?;
        let filter = &AttachmentFilter { volume_id: Some(volume_id), ..AttachmentFilter::default() };
        let found = |ctx| async move { Attachment::list(&ctx, filter, &Page::default()).await };
        let found = site.call(None, found).await?.value.items;
        let Some(attachment) = found.first() else {
            return Err(Failure::failed(format!(
                "volume {} is in no instance: there is nothing to detach",
                self.volume
            )));
        };
        let ending = Ending { what: format!("volume {}", self.volume), done: "detached" };
        delete(site, &ending, attachment.id, &self.key, self.wait.longest()).await
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<Volume>(site).await,
            Self::Show(args) => args.run::<Volume>(site).await,
            Self::Create(args) => args.run::<Volume>(site).await,
            Self::Update(args) => args.run::<Volume>(site).await,
            Self::Delete(args) => args.run::<Volume>(site).await,
            Self::Attach(args) => args.run(site).await,
            Self::Detach(args) => args.run(site).await,
        }
    }
}
