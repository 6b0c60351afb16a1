//! A control plane that takes reports for compute only when it is let.

use async_trait::async_trait;
use cirro_models::{
    Error, Result,
    compute::{
        assignment::{ImageSpec, NodeAssignment},
        report::NodeReport,
    },
    storage::assignment::{StorageAssignment, StorageReport},
};
use cirro_node_agent_core::{control_plane::ControlPlane, desk::Desk, heartbeats::Heartbeats};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};

pub(crate) struct Held {
    desk: Arc<Desk>,
    holds: watch::Sender<bool>,
    waits: Notify,
    breaks: AtomicBool,
}

impl Held {
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, holds: watch::Sender::new(false), waits: Notify::new(), breaks: AtomicBool::new(false) }
    }
    pub(crate) fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }
    pub(crate) fn break_once(&self) {
        self.breaks.store(true, Relaxed);
    }
    pub(crate) async fn one_waits(&self) {
        self.waits.notified().await;
    }
}

#[async_trait]
impl ControlPlane for Held {
    async fn compute_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<NodeAssignment>> {
        self.desk.compute_assignment(since, wait).await
    }
    async fn storage_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<StorageAssignment>> {
        self.desk.storage_assignment(since, wait).await
    }
    async fn heartbeats(&self, beats: Heartbeats) -> Result<()> {
        self.desk.heartbeats(beats).await
    }
    async fn lease(&self, within: Duration) -> Result<()> {
        self.desk.lease(within).await
    }
    async fn report(&self, report: &NodeReport, id: &str) -> Result<()> {
        assert!(!self.breaks.swap(false, Relaxed), "the way to compute has a fault");
        if *self.holds.borrow() {
            self.waits.notify_one();
            self.holds.subscribe().wait_for(|holds| !holds).await.map_err(Error::internal)?;
        }
        self.desk.report(report, id).await
    }
    async fn storage_report(&self, report: &StorageReport, id: &str) -> Result<()> {
        self.desk.storage_report(report, id).await
    }
    async fn fetch_image(&self, image: &ImageSpec, into: &mut tokio::fs::File) -> Result<()> {
        self.desk.fetch_image(image, into).await
    }
}
