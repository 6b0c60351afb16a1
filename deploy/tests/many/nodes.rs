//! Machines that have joined through the bus: the real agent with its own certificate, over guests that are entries in a
//! book. They live in this process, and so longer than a site.

use crate::common::Typed;
use cirro_client::Credential;
use cirro_models::{GiB, MiB, Vcpus, identity::Secret};
use cirro_node_agent_core::{
    agent::{Agent, Settings},
    http::HttpControlPlane,
    join::join,
    machine::Capacity,
    simulated::{Knobs, Simulated},
};
use std::{path::Path, sync::Arc};
use tokio::{runtime::Runtime, sync::watch};

const CAPACITY: Capacity =
    Capacity { vcpus: Vcpus::new(64), memory_mib: MiB::new(64 * 1024), disk_gib: GiB::new(1000) };

/// Machines with their agents, which end with this.
pub struct Machines {
    pub all: Vec<Arc<Simulated>>,
    end: Option<watch::Sender<()>>,
    runtime: Option<Runtime>,
}

impl Machines {
    /// Some with these names, joined to a site by the URL where it answers nodes; what proves them is kept in `folder`.
    pub fn join(site: &impl Typed, url: &str, names: &[&str], folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (end, ended) = watch::channel(());
        let mut machines = Vec::new();
        for name in names {
            let told = site.cirro(&["node", "join-token", name, "-o", "json"]).json();
            let secret = Secret::new(told["secret"].as_str().unwrap());
            let folder = folder.join(name);
            let joining = join(url, &secret, name.parse().unwrap(), CAPACITY, &folder);
            runtime.block_on(joining).unwrap();
            let credential = Credential::load(&folder).unwrap();
            let knobs = Knobs { vcpus: 64, memory_mib: 64 * 1024, ..Knobs::default() };
            let machine = Arc::new(Simulated::new(knobs));
            let (url, hypervisor, mut ended) = (url.to_owned(), machine.clone(), ended.clone());
            runtime.spawn(async move {
                let plane = HttpControlPlane::certified(&url, credential, folder).unwrap().0;
                let stop = async move { drop(ended.changed().await) };
                Agent::new(Arc::new(plane), hypervisor, Settings::default()).run(stop).await;
            });
            machines.push(machine);
        }
        Self { all: machines, end: Some(end), runtime: Some(runtime) }
    }
    /// How many guests there are on all of them.
    pub fn guests(&self) -> usize {
        self.all.iter().map(|machine| machine.look().guests.len()).sum()
    }
    /// How many guests were ever made on all of them.
    pub fn built(&self) -> usize {
        self.all.iter().map(|machine| machine.counts().built).sum()
    }
    /// How many were ever started.
    pub fn started(&self) -> usize {
        self.all.iter().map(|machine| machine.counts().started).sum()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
