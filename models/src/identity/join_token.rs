//! What lets a machine become a node.

use crate::{GiB, Id, Meta, MiB, Model, Name, Timestamp, Vcpus, compute::Node};

/// Lets one machine become a node, once, until it expires. Its secret is what the node's agent reads to join.
#[derive(Model)]
#[model(service = Identity, path = "jointoken", scope = Site)]
#[model(create = Operator, read = Operator, update = Nobody, delete = Operator)]
#[model(once(secret: Secret))]
pub struct JoinToken {
    /// Its id.
    pub id: Id<JoinToken>,
    /// What the node is to be called, whatever the machine calls itself.
    #[model(create)]
    pub name: Option<Name>,
    /// The node that the machine is already: it gets a new certificate and no new row. Once used, the node that it became.
    #[model(create, filter)]
    pub node_id: Option<Id<Node>>,
    /// The most virtual processors for guests that it may bring.
    #[model(create)]
    pub vcpus: Option<Vcpus>,
    /// The most memory for guests that it may bring.
    #[model(create)]
    pub memory_mib: Option<MiB>,
    /// The most disk for guests that it may bring.
    #[model(create)]
    pub disk_gib: Option<GiB>,
    /// When it ends, if it was not used: an hour from now if nothing is said, at most a day.
    #[model(create, default = Timestamp::now().plus_seconds(3600))]
    pub expires_at: Timestamp,
    /// When a machine joined with it.
    #[model(system)]
    pub used_at: Option<Timestamp>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}
