//! A control plane on one desk, in memory: what tests and rehearsals put an agent in front of. It keeps the promises of the
//! real one: manifests are complete, tombstones and actions stay until they are confirmed, older reports are ignored.

use crate::{control_plane::ControlPlane, heartbeats::Heartbeats};
use async_trait::async_trait;
use cirro_models::{
    Error, Generation, Id, Result,
    compute::{
        ConsoleLog, Instance, InstanceAction,
        assignment::{
            AssignedAction, AssignedConsoleLog, AssignedInstance, ImageSpec, InstanceSpec, NodeAssignment, Tombstone,
        },
        instance::Power,
        instance_action::ActionKind,
        report::{ActionDone, ConsoleRead, Holdings, InstanceSeen, NodeReport, NodeSeen, UnclaimedSeen, UnderWay},
    },
    storage::{
        Attachment, Volume,
        assignment::{AttachmentSeen, AttachmentSpec, StorageAssignment, StorageReport, VolumeSeen, VolumeSpec},
    },
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, sync::watch};
use uuid::Uuid;

/// Everything that was ordered, and everything that was heard.
#[derive(Debug, Default)]
pub struct Papers {
    /// The epoch.
    pub epoch: String,
    /// While true, nobody answers.
    pub down: bool,
    /// The instances.
    pub specs: BTreeMap<Id<Instance>, InstanceSpec>,
    /// What is to go.
    pub tombstones: Vec<Tombstone>,
    /// Actions that are not confirmed.
    pub actions: Vec<AssignedAction>,
    /// Console texts that are asked for.
    pub questions: Vec<AssignedConsoleLog>,
    /// The volumes.
    pub volumes: Vec<VolumeSpec>,
    /// The attachments.
    pub attachments: Vec<AttachmentSpec>,
    /// Volumes that are to go.
    pub volume_tombstones: Vec<Id<Volume>>,
    /// The node, as it was heard last.
    pub node: Option<NodeSeen>,
    /// The instances, as they were heard last.
    pub seen: BTreeMap<Id<Instance>, InstanceSeen>,
    /// What the node has said last that it holds.
    pub holdings: Option<Holdings>,
    /// What the node has been at for longest, as it was heard last.
    pub under_way: Option<UnderWay>,
    /// The last list of unclaimed guests.
    pub unclaimed: Vec<UnclaimedSeen>,
    /// Actions that have ended.
    pub ended: Vec<ActionDone>,
    /// Console texts.
    pub texts: BTreeMap<Id<ConsoleLog>, ConsoleRead>,
    /// Volumes, as they were heard last.
    pub volumes_seen: BTreeMap<Id<Volume>, VolumeSeen>,
    /// Attachments, as they were heard last.
    pub attachments_seen: BTreeMap<Id<Attachment>, AttachmentSeen>,
    /// How often somebody asked for orders while nobody answered.
    pub knocks: usize,
    /// How often image bytes were fetched.
    pub fetches: usize,
    /// Under which requests things were asked for, by their ids.
    pub requests: BTreeMap<Uuid, String>,
    /// Under which ids reports came.
    pub report_ids: BTreeSet<String>,
    last: Option<(Uuid, u64)>,
}

/// See the module.
pub struct Desk {
    papers: Mutex<Papers>,
    revision: watch::Sender<u64>,
    heartbeats: watch::Sender<usize>,
    image: Option<PathBuf>,
}

impl Desk {
    /// An empty desk; image bytes come from this file.
    pub fn new(image: Option<PathBuf>) -> Self {
        let papers = Papers { epoch: "1".to_owned(), ..Papers::default() };
        Self { papers: Mutex::new(papers), revision: watch::Sender::new(1), heartbeats: watch::Sender::new(0), image }
    }

    /// Reads or changes the papers.
    pub fn with<T>(&self, what: impl FnOnce(&mut Papers) -> T) -> T {
        let done = what(&mut self.papers.lock());
        self.revision.send_modify(|revision| *revision += 1);
        done
    }

    /// Orders an instance.
    pub fn order(&self, spec: InstanceSpec) {
        self.with(|papers| papers.specs.insert(spec.id, spec));
    }
    /// Changes what is wished of an instance.
    pub fn wish(&self, id: Id<Instance>, power: Power, force: bool) {
        self.with(|papers| {
            if let Some(spec) = papers.specs.get_mut(&id) {
                (spec.power, spec.force_stop, spec.generation) = (power, force, spec.generation.next());
            }
        });
    }
    /// Orders an instance to be removed.
    pub fn bury(&self, id: Id<Instance>) {
        self.with(|papers| {
            let generation = papers.specs.remove(&id).map_or(Generation::new(1), |spec| spec.generation.next());
            papers.tombstones.push(Tombstone { id, generation, epoch: papers.epoch.clone() });
        });
    }
    /// Orders an action.
    pub fn act(&self, instance_id: Id<Instance>, kind: ActionKind) -> Id<InstanceAction> {
        let id = Id::new();
        self.with(|papers| papers.actions.push(AssignedAction { id, instance_id, kind }));
        id
    }
    /// Asks for a console text.
    pub fn ask(&self, instance_id: Id<Instance>) -> Id<ConsoleLog> {
        let id = Id::new();
        self.with(|papers| papers.questions.push(AssignedConsoleLog { id, instance_id }));
        id
    }

    /// How many heartbeats were heard.
    pub fn heard(&self) -> watch::Receiver<usize> {
        self.heartbeats.subscribe()
    }

    /// Waits until the papers hold what is looked for; names it if that does not happen in time.
    pub async fn wait<T>(&self, what: &str, limit: Duration, look: impl Fn(&Papers) -> Option<T>) -> Result<T, String> {
        let end = Instant::now() + limit;
        let mut changes = self.revision.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = look(&self.papers.lock()) {
                return Ok(found);
            }
            if tokio::time::timeout(end.saturating_duration_since(Instant::now()), changes.changed()).await.is_err() {
                let papers = self.papers.lock();
                return Err(format!("after {limit:?} still not: {what}; the node says {:?}", papers.seen.values()));
            }
        }
    }

    /// Holds a question open until there is something new.
    async fn news(&self, since: Option<&str>, wait: Duration) -> Result<String> {
        let mut changes = self.revision.subscribe();
        let known = since.and_then(|since| since.parse::<u64>().ok());
        let newer = changes.wait_for(|revision| Some(*revision) != known);
        // The time being over is an answer too: nothing is new.
        let _ = tokio::time::timeout(wait, newer).await;
        if self.papers.lock().down {
            return Err(Error::unavailable("the desk is empty"));
        }
        Ok(self.revision.borrow().to_string())
    }

    fn open(&self) -> Result<()> {
        let mut papers = self.papers.lock();
        papers.knocks += usize::from(papers.down);
        if papers.down { Err(Error::unavailable("the desk is empty")) } else { Ok(()) }
    }
}

#[async_trait]
impl ControlPlane for Desk {
    async fn compute_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<NodeAssignment>> {
        self.open()?;
        let revision = self.news(since, wait).await?;
        let papers = self.papers.lock();
        let entry = |spec: &InstanceSpec| AssignedInstance { id: spec.id, generation: spec.generation };
        Ok(Some(NodeAssignment {
            epoch: papers.epoch.clone(),
            revision,
            manifest: papers.specs.values().map(entry).collect(),
            instances: papers.specs.values().cloned().collect(),
            tombstones: papers.tombstones.clone(),
            actions: papers.actions.clone(),
            console_logs: papers.questions.clone(),
            requests: papers.requests.clone(),
        }))
    }

    async fn storage_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<StorageAssignment>> {
        self.open()?;
        let revision = self.news(since, wait).await?;
        let papers = self.papers.lock();
        Ok(Some(StorageAssignment {
            epoch: papers.epoch.clone(),
            revision,
            volumes: papers.volumes.clone(),
            attachments: papers.attachments.clone(),
            volume_tombstones: papers.volume_tombstones.clone(),
            requests: papers.requests.clone(),
        }))
    }

    async fn heartbeats(&self, mut beats: Heartbeats) -> Result<()> {
        while beats.recv().await.is_some() {
            self.open()?;
            self.heartbeats.send_modify(|heard| *heard += 1);
        }
        Ok(())
    }

    async fn lease(&self, _: Duration) -> Result<()> {
        self.open()
    }

    async fn report(&self, report: &NodeReport, id: &str) -> Result<()> {
        self.open()?;
        let mut papers = self.papers.lock();
        papers.report_ids.insert(id.to_owned());
        let stale = papers.last.is_some_and(|(boot, last)| boot == report.boot_id && report.sequence <= last);
        if stale {
            return Ok(());
        }
        papers.last = Some((report.boot_id, report.sequence));
        papers.node = Some(report.node.clone());
        papers.unclaimed.clone_from(&report.unclaimed);
        let mut news = papers.hear(report)
            || report.holdings.is_some()
            || papers.under_way.is_some() != report.under_way.is_some();
        papers.under_way.clone_from(&report.under_way);
        if report.holdings.is_some() {
            papers.holdings.clone_from(&report.holdings);
        }
        for seen in &report.instances {
            let known = papers.seen.insert(seen.id, seen.clone());
            news |= known.as_ref() != Some(seen);
        }
        drop(papers);
        self.revision.send_modify(|revision| *revision += u64::from(news));
        Ok(())
    }

    async fn storage_report(&self, report: &StorageReport, id: &str) -> Result<()> {
        self.open()?;
        self.with(|papers| {
            papers.report_ids.insert(id.to_owned());
            papers.volumes_seen.extend(report.volumes.iter().map(|seen| (seen.id, seen.clone())));
            papers.attachments_seen.extend(report.attachments.iter().map(|seen| (seen.id, seen.clone())));
            papers.volume_tombstones.retain(|id| !report.volumes_gone.contains(id));
            papers.attachments.retain(|attachment| !report.detached.contains(&attachment.id));
        });
        Ok(())
    }

    async fn fetch_image(&self, image: &ImageSpec, into: &mut tokio::fs::File) -> Result<()> {
        self.open()?;
        self.papers.lock().fetches += 1;
        let path = self.image.as_ref().ok_or_else(|| Error::not_found("machineimage", image.id))?;
        let mut from = tokio::fs::File::open(path).await.map_err(Error::internal)?;
        tokio::io::copy(&mut from, into).await.map_err(Error::internal)?;
        into.flush().await.map_err(Error::internal)
    }
}

impl Papers {
    /// Takes note of what was done; answers whether that changes the orders.
    fn hear(&mut self, report: &NodeReport) -> bool {
        let before = (self.tombstones.len(), self.actions.len(), self.questions.len());
        self.tombstones.retain(|stone| !report.gone.iter().any(|gone| gone.id == stone.id));
        for gone in &report.gone {
            self.seen.remove(&gone.id);
        }
        self.actions.retain(|action| !report.actions.iter().any(|done| done.id == action.id));
        self.ended.extend(report.actions.iter().filter(|done| !self.ended.contains(done)).cloned().collect::<Vec<_>>());
        self.questions.retain(|question| !report.console_logs.iter().any(|read| read.id == question.id));
        self.texts.extend(report.console_logs.iter().map(|read| (read.id, read.clone())));
        let mut wishes = false;
        for seen in report.instances.iter().filter(|seen| seen.powered_off_itself) {
            if let Some(spec) = self.specs.get_mut(&seen.id).filter(|spec| spec.power == Power::Running) {
                (spec.power, spec.generation, wishes) = (Power::Stopped, spec.generation.next(), true);
            }
        }
        wishes || before != (self.tombstones.len(), self.actions.len(), self.questions.len())
    }
}
