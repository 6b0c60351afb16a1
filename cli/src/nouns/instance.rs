//! `cirro instance`.

use crate::{
    failure::Failure,
    input,
    nouns::{
        Noun,
        console::ConsoleArgs,
        instance_delete::DeleteInstances,
        remake::{Rebuild, Recover, Resize},
        unclaimed::Adopt,
    },
    out, resolve,
    site::{Said, Site},
    table::Column,
    verbs::{
        Create, Key, LabelChanges, Labelled, Labels, List, Protection, Request, Show, Update, create, show, update,
    },
    wait::{self, Ended, Patience, Progress, Wait},
};
use cirro_models::{
    Name,
    compute::{
        Instance, InstanceAction,
        instance::{InstanceFilter, InstancePatch, InstanceStatus, NewInstance, NodeLoss, Power, UserData},
        instance_action::{ActionKind, ActionStatus, NewInstanceAction},
    },
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

impl Noun for Instance {
    const WORD: &'static str = "instance";
    const NAME: Option<fn(&Self) -> &Name> = Some(|instance| &instance.name);
    const COLUMNS: &'static [Column<Self>] = &[
        Column("NAME", |instance, _| instance.name.to_string()),
        Column("STATUS", |instance, _| instance.status.to_string()),
        Column("ADDRESS", |instance, _| instance.address.clone().unwrap_or_default()),
        Column("FLAVOR", |instance, names| names.name(instance.flavor_id.uuid())),
        Column("IMAGE", |instance, names| names.name(instance.image_id.uuid())),
        Column("NODE", |instance, names| names.maybe(instance.node_id.map(cirro_models::Id::uuid))),
        Column("ID", |instance, _| instance.id.to_string()),
    ];
    fn named(name: Name) -> Option<InstanceFilter> {
        Some(InstanceFilter { name: Some(name), ..InstanceFilter::default() })
    }
    fn state(&self) -> Option<(String, Option<String>)> {
        Some((self.status.to_string(), self.status_reason.clone()))
    }
    fn created(&self) -> Progress {
        match self.status {
            // what follows from a wish is judged once the node has acted on it; a refusal to place comes without one
            InstanceStatus::Failed | InstanceStatus::Deleting => Progress::Failed,
            _ => powered(self),
        }
    }
}

/// Whether the node has brought the power where its owner wants it.
fn powered(instance: &Instance) -> Progress {
    let acted = instance.observed_generation >= instance.generation;
    match (&instance.status, &instance.power) {
        (InstanceStatus::Running, Power::Running) | (InstanceStatus::Stopped, Power::Stopped) if acted => {
            Progress::Reached
        }
        (InstanceStatus::Failed, _) if acted => Progress::Failed,
        (InstanceStatus::Deleting, _) => Progress::Failed,
        _ => Progress::UnderWay,
    }
}

impl Noun for InstanceAction {
    const WORD: &'static str = "action";
    const NAME: Option<fn(&Self) -> &Name> = None;
    const COLUMNS: &'static [Column<Self>] = &[];
    fn state(&self) -> Option<(String, Option<String>)> {
        Some((self.status.to_string(), self.reason.clone()))
    }
    fn created(&self) -> Progress {
        match self.status {
            ActionStatus::Done => Progress::Reached,
            ActionStatus::Failed => Progress::Failed,
            _ => Progress::UnderWay,
        }
    }
    fn label(&self) -> String {
        self.kind.to_string()
    }
}

/// What the help of `delete` ends with.
const DELETE_HELP: &str = "\
Examples:
  cirro instance delete web1 web2 --wait
  cirro instance delete --label batch=one --expect 250 --wait
  cirro instance delete --plan workers --max-failures 10

Of many, the number has to be confirmed, by --expect or on the terminal. What could not be deleted is told and left; the same
command again goes on with it, with the number that is left.

Exit codes, of many:
  0  all are deleted or being deleted (with --wait: gone)
  2  nobody has confirmed the number, which is told; nothing is deleted
  5  not gone within --timeout: it goes on
  6  the number is another one; nothing is deleted
  7  some could not be deleted
  others as of every command (`cirro --help`)";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List instances: virtual machines
    List(List<Narrow>),
    /// Show an instance
    Show(Show),
    /// Create an instance from an image, and start it
    Create(Create<New, Wait>),
    /// Change an instance's name, labels or protection
    Update(Update<Change>),
    /// Delete instances with their root disks, by name, or many by label or launch plan; attached volumes stay
    #[command(after_help = DELETE_HELP)]
    Delete(DeleteInstances),
    /// Start a stopped instance
    Start(Start),
    /// Shut an instance down; it keeps its disks
    Stop(Stop),
    /// Shut the guest down and start it again
    Reboot(Act),
    /// Cut the power and give it back, for a guest that hangs
    Reset(Act),
    /// Give a stopped instance another size, on the node where it is
    Resize(Resize),
    /// Give an instance a new root disk from its image or another; what is on it is lost, and volumes stay
    Rebuild(Rebuild),
    /// Try a failed instance again
    Recover(Recover),
    /// Print what the guest has printed on its serial console
    ConsoleLog(ConsoleArgs),
    /// Make a guest that nobody claims an instance again (see `cirro unclaimed`)
    Adopt(Adopt),
}

#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// Only the one with this name
    #[arg(long)]
    name: Option<Name>,
    /// Only those with this status, such as running or failed
    #[arg(long)]
    status: Option<InstanceStatus>,
    /// Only those made from this image
    #[arg(long, value_name = "NAME|ID")]
    image: Option<String>,
    /// Only those on this node
    #[arg(long, value_name = "NAME|ID")]
    node: Option<String>,
    /// Only those that this launch plan has made
    #[arg(long, value_name = "NAME|ID")]
    plan: Option<String>,
    #[command(flatten)]
    label: Labelled,
}
impl Request<InstanceFilter> for Narrow {
    async fn read(self, site: &Site) -> Result<InstanceFilter, Failure> {
        Ok(InstanceFilter {
            name: self.name,
            image_id: resolve::maybe(site, self.image.as_ref()).await?,
            status: self.status,
            node_id: resolve::maybe(site, self.node.as_ref()).await?,
            plan_id: resolve::maybe(site, self.plan.as_ref()).await?,
            label: self.label.label,
            ..InstanceFilter::default()
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What people call it; also its host name
    #[arg(long)]
    name: Name,
    /// The image that its root disk is made from
    #[arg(long, value_name = "NAME|ID")]
    image: String,
    /// Its size; see `cirro flavor list`
    #[arg(long, value_name = "NAME|ID")]
    flavor: String,
    /// A public key that may log in; may be repeated; see `cirro sshkey`
    #[arg(long = "sshkey", value_name = "NAME|ID")]
    ssh_keys: Vec<String>,
    /// A file for the guest's first boot (cloud-init's user-data); `-` is stdin
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// Leave it off for now
    #[arg(long)]
    stopped: bool,
    /// Refuse to delete or rebuild it until that is lifted
    #[arg(long)]
    protect: bool,
    /// What becomes of it when its node is lost: stay waits for it, recreate makes it anew elsewhere, without what its disk held
    #[arg(long, value_name = "stay|recreate")]
    on_node_loss: Option<NodeLoss>,
    #[command(flatten)]
    labels: Labels,
}
impl Request<NewInstance> for New {
    async fn read(self, site: &Site) -> Result<NewInstance, Failure> {
        let user_data = self.user_data.map(|file| input::text_file(&file, UserData::MAX)).transpose()?;
        let mut keys = Vec::new();
        for key in &self.ssh_keys {
            keys.push(resolve::id(site, key).await?);
        }
        Ok(NewInstance {
            name: self.name,
            flavor_id: resolve::id(site, &self.flavor).await?,
            image_id: resolve::id(site, &self.image).await?,
            ssh_key_ids: Some(keys).filter(|keys| !keys.is_empty()),
            power: self.stopped.then_some(Power::Stopped),
            protected: self.protect.then_some(true),
            user_data: user_data.map(UserData::new),
            on_node_loss: self.on_node_loss,
            labels: self.labels.read(),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What people call it from now on; the guest keeps its host name
    #[arg(long)]
    name: Option<Name>,
    /// What becomes of it when its node is lost: stay waits for it, recreate makes it anew elsewhere, without what its disk held
    #[arg(long, value_name = "stay|recreate")]
    on_node_loss: Option<NodeLoss>,
    #[command(flatten)]
    protection: Protection,
    #[command(flatten)]
    labels: LabelChanges,
}
impl Request<InstancePatch> for Change {
    async fn read(self, _: &Site) -> Result<InstancePatch, Failure> {
        Ok(InstancePatch {
            on_node_loss: self.on_node_loss,
            name: self.name,
            protected: self.protection.read(),
            labels: self.labels.read(),
            ..InstancePatch::default()
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The instance's name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// The instance's name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    /// Cut the power instead of asking the guest; it may lose what it has not written
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}

#[derive(Debug, Args)]
pub(crate) struct Act {
    /// The instance's name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}

impl Verb {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run::<Instance>(site).await,
            Self::Show(args) => args.run::<Instance>(site).await,
            Self::Create(args) => args.run::<Instance>(site).await,
            Self::Update(args) => args.run::<Instance>(site).await,
            Self::Delete(args) => args.run(site).await,
            Self::Start(Start { which, wait, key }) => {
                let patch = InstancePatch { power: Some(Power::Running), ..InstancePatch::default() };
                power(site, &which, patch, &wait, &key).await
            }
            Self::Stop(Stop { which, force, wait, key }) => {
                // a gentle stop takes back an earlier forced one
                let force_stop = Some(force.then_some(true));
                let patch = InstancePatch { power: Some(Power::Stopped), force_stop, ..InstancePatch::default() };
                power(site, &which, patch, &wait, &key).await
            }
            Self::Reboot(args) => args.run(site, ActionKind::Reboot).await,
            Self::Reset(args) => args.run(site, ActionKind::Reset).await,
            Self::Resize(args) => args.run(site).await,
            Self::Rebuild(args) => args.run(site).await,
            Self::Recover(args) => args.run(site).await,
            Self::ConsoleLog(args) => args.run(site).await,
            Self::Adopt(args) => args.run(site).await,
        }
    }
}

async fn power(site: &Site, which: &str, patch: InstancePatch, wait: &Wait, key: &Key) -> Result<(), Failure> {
    let id = resolve::id::<Instance>(site, which).await?;
    let begun = update::<Instance>(site, id, patch, key).await?;
    awaited(site, which, begun, wait).await
}

/// Shows what was begun, or waits until the node has followed the wish.
pub(super) async fn awaited(site: &Site, which: &str, begun: Said<Instance>, wait: &Wait) -> Result<(), Failure> {
    let Some(longest) = wait.longest() else { return show(site, &begun).await };
    match wait::until(site, begun.value.id, longest, powered).await? {
        Ended::Reached(said) => show(site, &said).await,
        Ended::Gone => Err(Failure::failed(format!("instance {which} was deleted meanwhile"))),
    }
}

impl Act {
    async fn run(self, site: &Site, kind: ActionKind) -> Result<(), Failure> {
        let instance_id = resolve::id::<Instance>(site, &self.which).await?;
        let new = NewInstanceAction { instance_id, kind: kind.clone(), labels: cirro_models::Labels::new() };
        let said = create::<InstanceAction>(site, new, &self.key, self.wait.longest()).await?;
        if site.is_json() {
            return out::json(&said.json);
        }
        let state = if self.wait.longest().is_some() { "is done" } else { "has begun" };
        out::text(&crate::escape::line(&format!("{kind} of instance {} {state}", self.which)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instance(status: &str, power: &str, generation: i64, observed: i64) -> Instance {
        let id = "01970000-0000-7000-8000-000000000001";
        let row = json!({
            "id": id, "project_id": id, "name": "web1", "flavor_id": id, "image_id": id, "power": power,
            "generation": generation, "observed_generation": observed, "status": status, "on_node_loss": "stay", "vcpus": 1, "memory_mib": 1,
            "disk_gib": 1, "version": 1, "created_by": "user:1",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"
        });
        serde_json::from_value(row).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_state_counts_once_the_node_has_acted_on_the_wish() {
        use Progress::{Failed, Reached, UnderWay};
        for (status, power, generation, observed, expected) in [
            ("running", "running", 1, 1, Reached),
            ("stopped", "stopped", 2, 2, Reached),
            ("stopped", "running", 2, 1, UnderWay),
            ("running", "running", 3, 1, UnderWay),
            ("failed", "running", 3, 2, UnderWay),
            ("failed", "running", 3, 3, Failed),
            ("deleting", "running", 1, 1, Failed),
            ("newer-word", "running", 1, 1, UnderWay),
        ] {
            assert_eq!(
                powered(&instance(status, power, generation, observed)),
                expected,
                "{status} {power} {observed}"
            );
        }
    }

    #[test]
    fn a_new_instance_fails_even_if_no_node_has_seen_it() {
        assert_eq!(instance("failed", "running", 1, 0).created(), Progress::Failed);
        assert_eq!(instance("pending", "running", 1, 0).created(), Progress::UnderWay);
        assert_eq!(instance("stopped", "stopped", 1, 1).created(), Progress::Reached);
    }
}
