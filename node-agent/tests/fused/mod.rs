//! A hypervisor with a fuse: at a given step it never answers, having done the step or not, and says so to whoever is to
//! kill the agent. It can be blinded, too.
#![allow(dead_code, reason = "a kit for tests; each uses a part of it")]

use async_trait::async_trait;
use cirro_models::{
    Id,
    compute::{Instance, assignment::InstanceSpec},
    storage::{Volume, assignment::VolumeSpec},
};
use cirro_node_agent_core::{
    failure::{Failure, Result},
    guest::Mark,
    hypervisor::{Health, Hypervisor, Observed},
    simulated::Simulated,
};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

pub(crate) struct Fused {
    machine: Arc<Simulated>,
    kill_at: Option<(usize, bool)>,
    steps: AtomicUsize,
    blown: Notify,
    blind: AtomicBool,
    looked_in_vain: Notify,
}

impl Fused {
    pub(crate) fn new(machine: Arc<Simulated>, kill_at: Option<(usize, bool)>) -> Self {
        let (steps, blind) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { machine, kill_at, steps, blown: Notify::new(), blind, looked_in_vain: Notify::new() }
    }
    /// While it is, every look fails.
    pub(crate) fn be_blind(&self, blind: bool) {
        self.blind.store(blind, Ordering::SeqCst);
    }
    pub(crate) async fn looked_in_vain(&self) {
        self.looked_in_vain.notified().await;
    }
    pub(crate) async fn blown(&self) {
        self.blown.notified().await;
    }
    pub(crate) fn steps(&self) -> usize {
        self.steps.load(Ordering::SeqCst)
    }
    async fn step<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let step = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        match self.kill_at {
            // Everything after the fuse is not reached either.
            Some((at, done)) if step >= at => {
                if step == at && done {
                    work.await?;
                }
                self.blown.notify_one();
                std::future::pending().await
            }
            _ => work.await,
        }
    }
}

#[async_trait]
impl Hypervisor for Fused {
    async fn health(&self) -> Health {
        self.machine.health().await
    }
    async fn observe(&self) -> Result<Arc<Observed>> {
        if self.blind.load(Ordering::SeqCst) {
            self.looked_in_vain.notify_one();
            return Err(Failure::new("it is dark"));
        }
        self.machine.observe().await
    }
    async fn build(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.step(self.machine.build(spec, mark)).await
    }
    async fn resize(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.step(self.machine.resize(spec, mark)).await
    }
    async fn rebuild(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.step(self.machine.rebuild(spec, mark)).await
    }
    async fn note(&self, mark: &Mark) -> Result<()> {
        self.step(self.machine.note(mark)).await
    }
    async fn start(&self, id: Id<Instance>) -> Result<()> {
        self.step(self.machine.start(id)).await
    }
    async fn shutdown(&self, id: Id<Instance>) -> Result<()> {
        self.step(self.machine.shutdown(id)).await
    }
    async fn kill(&self, id: Id<Instance>) -> Result<()> {
        self.step(self.machine.kill(id)).await
    }
    async fn remove(&self, id: Id<Instance>) -> Result<()> {
        self.step(self.machine.remove(id)).await
    }
    async fn make_volume(&self, spec: &VolumeSpec) -> Result<()> {
        self.step(self.machine.make_volume(spec)).await
    }
    async fn remove_volume(&self, id: Id<Volume>) -> Result<()> {
        self.step(self.machine.remove_volume(id)).await
    }
    async fn attach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()> {
        self.step(self.machine.attach(id, volume)).await
    }
    async fn detach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()> {
        self.step(self.machine.detach(id, volume)).await
    }
    async fn console_tail(&self, id: Id<Instance>, max_bytes: usize) -> Result<String> {
        self.machine.console_tail(id, max_bytes).await
    }
    fn changes(&self) -> Arc<Notify> {
        self.machine.changes()
    }
}
