//! `cirro unclaimed`: guests that a node holds but that no instance stands for.

use crate::{
    failure::Failure,
    nouns::{Noun, yes},
    resolve,
    site::Site,
    table::Column,
    verbs::{Delete, Key, Labelled, List, Request, Show, show, update},
};
use cirro_models::{
    Name,
    compute::{
        UnclaimedGuest,
        unclaimed_guest::{UnclaimedGuestFilter, UnclaimedGuestPatch},
    },
};
use clap::{Args, Subcommand};

impl Noun for UnclaimedGuest {
    const WORD: &'static str = "unclaimed guest";
    const NAME: Option<fn(&Self) -> &Name> = Some(|guest| &guest.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |guest, _| guest.name.to_string()),
        Column("NODE", |guest, names| names.name(guest.node_id.uuid())),
        Column("RUNNING", |guest, _| yes(guest.running)),
        Column("INSTANCE", |guest, _| guest.instance_id.to_string()),
        Column("ID", |guest, _| guest.id.to_string()),
    ];
    fn named(name: Name) -> Option<UnclaimedGuestFilter> {
        Some(UnclaimedGuestFilter { name: Some(name), ..UnclaimedGuestFilter::default() })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List guests that a node holds but that no instance stands for; their nodes leave them alone
    List(List<Narrow>),
    /// Show an unclaimed guest
    Show(Show),
    /// Make it an instance again
    Adopt(Adopt),
    /// Order its node to destroy it, with its disk
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only those on this node
    #[arg(long, value_name = "NAME|ID")]
    node: Option<String>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<UnclaimedGuestFilter> for Narrow {
    async fn read(self, site: &Site) -> Result<UnclaimedGuestFilter, Failure> {
        let node_id = resolve::maybe(site, self.node.as_ref()).await?;
        Ok(UnclaimedGuestFilter { node_id, label: self.label.label, ..UnclaimedGuestFilter::default() })
    }
}

/// Also `cirro instance adopt`.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// Its name or id
    #[arg(value_name = "NAME|ID")]
    guest: String,
    #[command(flatten)]
    key: Key,
}

impl Adopt {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let patch = UnclaimedGuestPatch { adopt: Some(true), ..UnclaimedGuestPatch::default() };
        let id = resolve::id::<UnclaimedGuest>(site, &self.guest).await?;
        let said = update::<UnclaimedGuest>(site, id, patch, &self.key).await?;
        show(site, &said).await
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<UnclaimedGuest>(site).await,
            Self::Show(args) => args.run::<UnclaimedGuest>(site).await,
            Self::Adopt(args) => args.run(site).await,
            Self::Delete(args) => args.run::<UnclaimedGuest>(site).await,
        }
    }
}
