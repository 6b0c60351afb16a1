//! `cirro node`.

use crate::{
    failure::Failure,
    nouns::{
        Noun,
        join_token::{Join, Revoke},
        node_mode::{Forget, Turn},
        project::vcpus,
    },
    quantity,
    site::Site,
    table::Column,
    verbs::{Create, Delete, LabelChanges, Labelled, Labels, List, Request, Show, Update},
};
use cirro_models::{
    GiB, MiB, Name, Vcpus,
    compute::{
        Node,
        node::{NewNode, NodeFilter, NodeMode, NodePatch, NodeStatus},
    },
};
use clap::{Args, Subcommand};

impl Noun for Node {
    const WORD: &'static str = "node";
    const NAME: Option<fn(&Self) -> &Name> = Some(|node| &node.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |node, _| node.name.to_string()),
        Column("STATUS", |node, _| node.status.to_string()),
        Column("MODE", |node, _| node.mode.to_string()),
        Column("VCPUS", |node, _| node.vcpus.get().to_string()),
        Column("MEMORY", |node, _| node.memory_mib.to_string()),
        Column("DISK", |node, _| node.disk_gib.to_string()),
        Column("BY", |node, _| node.accelerator.as_ref().map(ToString::to_string).unwrap_or_default()),
        Column("UNCLAIMED", |node, _| node.unclaimed.to_string()),
        Column("ID", |node, _| node.id.to_string()),
        Column("FAILING", |node, _| failing(node)),
        Column("STUCK", |node, _| {
            node.stuck.as_ref().map(|stuck| format!("not finished: {stuck}")).unwrap_or_default()
        }),
        Column("MESSAGE", |node, _| node.message.clone().unwrap_or_default()),
    ];
    fn named(name: Name) -> Option<NodeFilter> {
        Some(NodeFilter { name: Some(name), ..NodeFilter::default() })
    }
    fn state(&self) -> Option<(String, Option<String>)> {
        Some((self.status.to_string(), self.message.clone()))
    }
}

/// The launches that fail there, and until when it is left alone.
fn failing(node: &Node) -> String {
    let Some(failing) = &node.failing else { return String::new() };
    let until = failing.until.map(|until| format!(", nothing new until {until}")).unwrap_or_default();
    format!("{} in a row{until}", failing.in_a_row)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List nodes: the machines that run guests
    List(List<Narrow>),
    /// Show a node
    Show(Show),
    /// Add a node with the capacity that guests may use of it
    Create(Create<New>),
    /// Change a node's name, capacity or labels
    Update(Update<Change>),
    /// Remove nodes
    Delete(Delete),
    /// Place nothing new on a node; what is on it stays
    Drain(Turn),
    /// The same, and let it fall silent without an alert and without a fence: somebody works on it
    Maintenance(Turn),
    /// Place new instances on a node again
    Return(Turn),
    /// Forget a node that will never be back: what it held is recreated elsewhere, or has failed
    Forget(Forget),
    /// Print a join token: what lets one machine become a node
    #[command(name = "join-token")]
    Join(Join),
    /// End what a node proves itself with: it is refused within a second, until it joins again
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    /// Only those with this status
    #[arg(long, value_name = "joining|ready|stuck|silent|fencing|fenced")]
    status: Option<NodeStatus>,
    /// Only those in this mode
    #[arg(long, value_name = "active|drain|maintenance")]
    mode: Option<NodeMode>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<NodeFilter> for Narrow {
    async fn read(self, _: &Site) -> Result<NodeFilter, Failure> {
        Ok(NodeFilter { name: self.name, mode: self.mode, status: self.status, label: self.label.label })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// Virtual processors for guests, overcommit included
    #[arg(long, value_name = "N", value_parser = vcpus)]
    vcpus: Vcpus,
    /// Memory for guests, such as 64GiB
    #[arg(long, value_name = "SIZE", value_parser = quantity::memory)]
    memory: MiB,
    /// Disk for guests, such as 1TiB
    #[arg(long, value_name = "SIZE", value_parser = quantity::disk)]
    disk: GiB,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewNode> for New {
    async fn read(self, _: &Site) -> Result<NewNode, Failure> {
        Ok(NewNode {
            name: self.name,
            vcpus: self.vcpus,
            memory_mib: self.memory,
            disk_gib: self.disk,
            mode: None,
            labels: self.labels.read(),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on
    #[arg(long)]
    name: Option<Name>,
    /// Virtual processors for guests
    #[arg(long, value_name = "N", value_parser = vcpus)]
    vcpus: Option<Vcpus>,
    /// Memory for guests
    #[arg(long, value_name = "SIZE", value_parser = quantity::memory)]
    memory: Option<MiB>,
    /// Disk for guests
    #[arg(long, value_name = "SIZE", value_parser = quantity::disk)]
    disk: Option<GiB>,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<NodePatch> for Change {
    async fn read(self, _: &Site) -> Result<NodePatch, Failure> {
        Ok(NodePatch {
            name: self.name,
            vcpus: self.vcpus,
            memory_mib: self.memory,
            disk_gib: self.disk,
            // that has verbs of its own
            mode: None,
            destroyed: None,
            labels: self.labels.read(),
        })
    }
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<Node>(site).await,
            Self::Show(args) => args.run::<Node>(site).await,
            Self::Create(args) => args.run::<Node>(site).await,
            Self::Update(args) => args.run::<Node>(site).await,
            Self::Delete(args) => args.run::<Node>(site).await,
            Self::Drain(args) => args.run(site, NodeMode::Drain).await,
            Self::Maintenance(args) => args.run(site, NodeMode::Maintenance).await,
            Self::Return(args) => args.run(site, NodeMode::Active).await,
            Self::Forget(args) => args.run(site).await,
            Self::Join(args) => args.run(site).await,
            Self::Revoke(args) => args.run(site).await,
        }
    }
}
