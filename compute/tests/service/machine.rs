//! A node's machine: simulated guests, and the real agent, which asks and reports over HTTP as its node.

use super::site::Site;
use async_trait::async_trait;
use bytes::Bytes;
use cirro_models::{
    Error, Id, Result,
    compute::{
        Node,
        assignment::{ImageSpec, NodeAssignment},
        report::NodeReport,
    },
    storage::assignment::{StorageAssignment, StorageReport},
};
use cirro_node_agent_core::{
    agent::{Agent, Ended, Settings},
    control_plane::ControlPlane,
    heartbeats::Heartbeats,
    simulated::{Knobs, Simulated},
};
use cirro_server::testkit::{Actor, Actors, Server};
use futures_util::stream;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// The way to compute, which may be away for a while; storage has no orders.
pub(crate) struct Wire {
    node: Id<Node>,
    actor: Actor,
    server: Mutex<Option<Arc<Server>>>,
}

impl Wire {
    fn server(&self) -> Result<Arc<Server>> {
        self.server.lock().clone().ok_or_else(|| Error::unavailable("compute is away"))
    }
}

#[async_trait]
impl ControlPlane for Wire {
    async fn compute_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<NodeAssignment>> {
        let server = self.server()?;
        let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
        let path = format!("/compute/v1/nodeassignment/{}?wait_ms={}{since}", self.node, wait.as_millis());
        server.http.json(&self.actor.over(&server), "GET", &path, None::<&()>).await.map(Some)
    }
    async fn storage_assignment(&self, since: Option<&str>, wait: Duration) -> Result<Option<StorageAssignment>> {
        if since.is_some() {
            tokio::time::sleep(wait).await;
        }
        let one = "1".to_owned();
        let (volumes, attachments, volume_tombstones) = (Vec::new(), Vec::new(), Vec::new());
        let (epoch, revision, requests) = (one.clone(), one, Default::default());
        Ok(Some(StorageAssignment { epoch, revision, volumes, attachments, volume_tombstones, requests }))
    }
    async fn heartbeats(&self, mut beats: Heartbeats) -> Result<()> {
        // the server may end meanwhile
        let (http, ctx) = self.server().map(|server| (server.http.clone(), self.actor.over(&server)))?;
        let path = format!("/compute/v1/nodeheartbeat/{}", self.node);
        let pieces =
            stream::poll_fn(move |cx| beats.poll_recv(cx).map(|beat| beat.map(|()| Ok(Bytes::from_static(b".")))));
        let answer = http.upload(&ctx, "POST", &path, pieces, &[]).await?;
        if answer.status == 204 { Ok(()) } else { Err(answer.error()) }
    }
    async fn lease(&self, within: Duration) -> Result<()> {
        let server = self.server()?;
        let path = format!("/compute/v1/nodelease/{}?watchdog_s={}", self.node, within.as_secs());
        let answer = server.http.answer(&self.actor.over(&server), "GET", &path, None, &[]).await?;
        if answer.status == 204 { Ok(()) } else { Err(answer.error()) }
    }
    async fn report(&self, report: &NodeReport, _: &str) -> Result<()> {
        let server = self.server()?;
        let path = format!("/compute/v1/nodereport/{}", self.node);
        let body = serde_json::to_vec(report).map_err(Error::internal)?;
        let answer = server.http.answer(&self.actor.over(&server), "POST", &path, Some(body.into()), &[]).await?;
        if answer.status == 204 { Ok(()) } else { Err(answer.error()) }
    }
    async fn storage_report(&self, _: &StorageReport, _: &str) -> Result<()> {
        Ok(())
    }
    async fn fetch_image(&self, image: &ImageSpec, _: &mut tokio::fs::File) -> Result<()> {
        Err(Error::not_found("machineimage", image.id))
    }
}

/// See the module.
pub(crate) struct Machine {
    pub(crate) simulated: Arc<Simulated>,
    wire: Arc<Wire>,
    agent: Option<JoinHandle<Ended>>,
}

impl Machine {
    /// One of this node, on which no agent runs yet.
    pub(crate) fn of(node: Id<Node>, actors: &Actors) -> Self {
        let wire = Arc::new(Wire { node, actor: actors.node_of(node), server: Mutex::default() });
        Self { simulated: Arc::new(Simulated::new(Knobs::default())), wire, agent: None }
    }
    /// Whom its agent calls from now on.
    pub(crate) fn calls(&self, server: Option<Arc<Server>>) {
        *self.wire.server.lock() = server;
    }
    /// Starts an agent.
    pub(crate) fn begin(&mut self) {
        let quick = Duration::from_millis(200);
        let settings = Settings { heartbeat: quick, look: quick, wait: Duration::from_secs(1), ..Settings::default() };
        let agent = Agent::new(self.wire.clone(), self.simulated.clone(), settings);
        self.agent = Some(tokio::spawn(agent.run(std::future::pending())));
    }
    /// As by `kill -9`: the guests run on.
    pub(crate) fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill_agent();
    }
}

impl Site {
    /// The machine of this node, whose agent calls this site.
    pub(crate) async fn machine(&self, node: Id<Node>) -> Machine {
        let machine = Machine::of(node, &self.actors);
        machine.calls(Some(Arc::new(Server::start(vec![self.compute.clone()], &self.actors).await)));
        machine
    }
}
