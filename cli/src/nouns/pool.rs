//! `cirro pool`: storage pools.

use crate::{
    failure::Failure,
    nouns::{Noun, yes},
    quantity, resolve,
    site::Site,
    table::Column,
    verbs::{Create, Delete, LabelChanges, Labelled, Labels, List, Request, Show, Update},
};
use cirro_models::{
    GiB, Name,
    storage::{
        StoragePool,
        storage_pool::{NewStoragePool, StoragePoolFilter, StoragePoolPatch},
    },
};
use clap::{Args, Subcommand};

impl Noun for StoragePool {
    const WORD: &'static str = "pool";
    const NAME: Option<fn(&Self) -> &Name> = Some(|pool| &pool.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |pool, _| pool.name.to_string()),
        Column("KIND", |pool, _| pool.kind.to_string()),
        Column("NODE", |pool, names| names.name(pool.node_id.uuid())),
        Column("CAPACITY", |pool, _| pool.capacity_gib.to_string()),
        Column("ACCEPTING", |pool, _| yes(pool.accepting)),
        Column("ID", |pool, _| pool.id.to_string()),
    ];
    fn named(name: Name) -> Option<StoragePoolFilter> {
        Some(StoragePoolFilter { name: Some(name), ..StoragePoolFilter::default() })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List storage pools: the places where volumes lie
    List(List<Narrow>),
    /// Show a storage pool
    Show(Show),
    /// Add a storage pool: a directory on a node
    Create(Create<New>),
    /// Change a pool's capacity, or keep new volumes away from it
    Update(Update<Change>),
    /// Remove storage pools
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    /// Only those of this node
    #[arg(long, value_name = "NAME|ID")]
    node: Option<String>,
    /// Only those that take new volumes, or with `false` only those that do not
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    accepting: Option<bool>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<StoragePoolFilter> for Narrow {
    async fn read(self, site: &Site) -> Result<StoragePoolFilter, Failure> {
        Ok(StoragePoolFilter {
            name: self.name,
            node_id: resolve::maybe(site, self.node.as_ref()).await?,
            accepting: self.accepting,
            label: self.label.label,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// The node whose directory it is
    #[arg(long, value_name = "NAME|ID")]
    node: String,
    /// How much volumes may take, such as 500GiB
    #[arg(long, value_name = "SIZE", value_parser = quantity::disk)]
    capacity: GiB,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewStoragePool> for New {
    async fn read(self, site: &Site) -> Result<NewStoragePool, Failure> {
        Ok(NewStoragePool {
            name: self.name,
            kind: None,
            node_id: resolve::id(site, &self.node).await?,
            capacity_gib: self.capacity,
            accepting: None,
            labels: self.labels.read(),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    /// How much volumes may take
    #[arg(long, value_name = "SIZE", value_parser = quantity::disk)]
    capacity: Option<GiB>,
    /// Whether new volumes may come here
    #[arg(long, value_name = "true|false")]
    accepting: Option<bool>,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<StoragePoolPatch> for Change {
    async fn read(self, _: &Site) -> Result<StoragePoolPatch, Failure> {
        Ok(StoragePoolPatch {
            name: self.name,
            capacity_gib: self.capacity,
            accepting: self.accepting,
            labels: self.labels.read(),
        })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<StoragePool>(site).await,
            Self::Show(args) => args.run::<StoragePool>(site).await,
            Self::Create(args) => args.run::<StoragePool>(site).await,
            Self::Update(args) => args.run::<StoragePool>(site).await,
            Self::Delete(args) => args.run::<StoragePool>(site).await,
        }
    }
}
