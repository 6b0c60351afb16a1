//! `cirro attachment`: made and ended by `cirro volume attach|detach`.

use crate::{
    failure::Failure,
    nouns::Noun,
    resolve,
    site::Site,
    table::Column,
    verbs::{Labelled, List, Request, Show},
    wait::Progress,
};
use cirro_models::{
    Name,
    storage::{
        Attachment,
        attachment::{AttachmentFilter, AttachmentStatus},
    },
};
use clap::{Args, Subcommand};

impl Noun for Attachment {
    const WORD: &'static str = "attachment";
    const NAME: Option<fn(&Self) -> &Name> = None;
    const COLUMNS: &'static [Column<Self>] = &[
        Column("VOLUME", |attachment, names| names.name(attachment.volume_id.uuid())),
        Column("INSTANCE", |attachment, names| names.name(attachment.instance_id.uuid())),
        Column("STATUS", |attachment, _| attachment.status.to_string()),
        Column("DEVICE", |attachment, _| attachment.device.clone().unwrap_or_default()),
        Column("ID", |attachment, _| attachment.id.to_string()),
    ];
    fn state(&self) -> Option<(String, Option<String>)> {
        Some((self.status.to_string(), self.status_reason.clone()))
    }
    fn created(&self) -> Progress {
        match self.status {
            AttachmentStatus::Attached => Progress::Reached,
            AttachmentStatus::Failed => Progress::Failed,
            _ => Progress::UnderWay,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List attachments: which volume is in which instance
    List(List<Narrow>),
    /// Show an attachment
    Show(Show),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one of this volume
    #[arg(long, value_name = "NAME|ID")]
    volume: Option<String>,
    /// Only those of this instance
    #[arg(long, value_name = "NAME|ID")]
    instance: Option<String>,
    /// Only those with this status
    #[arg(long, value_name = "attaching|attached|detaching|failed")]
    status: Option<AttachmentStatus>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<AttachmentFilter> for Narrow {
    async fn read(self, site: &Site) -> Result<AttachmentFilter, Failure> {
        Ok(AttachmentFilter {
            volume_id: resolve::maybe(site, self.volume.as_ref()).await?,
            instance_id: resolve::maybe(site, self.instance.as_ref()).await?,
            node_id: None,
            status: self.status,
            label: self.label.label,
        })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<Attachment>(site).await,
            Self::Show(args) => args.run::<Attachment>(site).await,
        }
    }
}
