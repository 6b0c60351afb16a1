//! What a guest has printed on its serial console.

use crate::{
    Id, Meta, Model, Timestamp, choice,
    compute::{instance::Instance, node::Node},
    identity::Project,
};

choice! {
    /// Whether the text has come.
    pub enum ConsoleLogStatus {
        /// The node has been asked.
        Requested = "requested",
        /// The text is there.
        Ready = "ready",
        /// The node could not read it; `reason` says why.
        Failed = "failed",
    }
}

/// The last part of what a guest has printed on its serial console, fetched from its node when this is created.
#[derive(Model)]
#[model(service = Compute, path = "consolelog", scope = Project, accepted)]
#[model(create = Viewer, read = Viewer, update = Nobody, delete = Member)]
pub struct ConsoleLog {
    /// Its id.
    pub id: Id<ConsoleLog>,
    /// The instance's project.
    pub project_id: Id<Project>,
    /// The instance.
    #[model(create, filter)]
    pub instance_id: Id<Instance>,
    /// Whether the text has come.
    #[model(status, filter, default = ConsoleLogStatus::Requested)]
    pub status: ConsoleLogStatus,
    /// Why it could not be read, in a sentence.
    #[model(status)]
    pub reason: Option<String>,
    /// At most the last 256 KiB, with control characters escaped.
    #[model(status)]
    pub text: Option<String>,
    /// When the node read it.
    #[model(status)]
    pub read_at: Option<Timestamp>,
    /// The node that is asked.
    #[model(system, node, filter)]
    pub node_id: Option<Id<Node>>,
    /// Version, labels, times.
    #[model(meta)]
    pub meta: Meta,
}

impl ConsoleLog {
    /// The most bytes that a node sends.
    pub const MAX_TEXT: usize = 256 * 1024;
}
