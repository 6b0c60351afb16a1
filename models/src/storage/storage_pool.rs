//! Where volumes lie.

use crate::{GiB, Id, Meta, Model, Name, choice, compute::Node};

choice! {
    /// What a pool is made of.
    pub enum PoolKind {
        /// Files in a directory of one node.
        Directory = "directory",
    }
}

/// A place where volumes lie: here a directory on one node.
#[derive(Model)]
#[model(service = Storage, path = "storagepool", scope = Site, unique(name))]
#[model(create = Operator, read = Operator, update = Operator, delete = Operator)]
#[model(services(create = Identity, read = Identity))]
pub struct StoragePool {
    /// Its id.
    pub id: Id<StoragePool>,
    /// What people call it.
    #[model(create, update, filter)]
    pub name: Name,
    /// What it is made of.
    #[model(create, default = PoolKind::Directory)]
    pub kind: PoolKind,
    /// The node whose directory it is.
    #[model(create, filter, node)]
    pub node_id: Id<Node>,
    /// How much volumes may take.
    #[model(create, update)]
    pub capacity_gib: GiB,
    /// While false, no new volumes come here.
    #[model(create, update, filter, default = true)]
    pub accepting: bool,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
