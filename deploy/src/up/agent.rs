//! The node agent of this machine: a child process that is started again when it ends, and told to end with the site.

use crate::{data::Data, up::services::Site};
use cirro_identity::bootstrap::node_credential;
use cirro_models::{Error, Result};
use cirro_node_agent_core::machine::{self, Capacity};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
};

/// The longest pause before the agent is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the agent may take to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// The supervised agent.
pub(crate) struct Supervised {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Supervised {
    /// Ends the agent; its guests run on.
    pub(crate) async fn stop(self) {
        // the task may have ended already
        let _ = self.end.send(());
        if self.task.await.is_err() {
            tracing::error!("the agent's supervision broke");
        }
    }
}

/// Where the agent's binary is: beside this one, or where `CIRRO_NODE_AGENT` says.
pub(crate) fn binary() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("CIRRO_NODE_AGENT") {
        let given = PathBuf::from(given);
        if given.is_file() {
            return Ok(given);
        }
        return Err(Error::unavailable(format!(
            "the node agent {} is not there: name it in CIRRO_NODE_AGENT, or start with --no-agent",
            given.display()
        )));
    }
    let beside = std::env::current_exe().map_err(Error::internal)?.with_file_name("cirro-node-agent");
    if beside.exists() {
        return Ok(beside);
    }
    Err(Error::unavailable(format!(
        "the node agent {} is not there: build it with `cargo build -p cirro-node-agent`, name it in CIRRO_NODE_AGENT, or start with --no-agent",
        beside.display()
    )))
}

/// Makes this machine a node of the site, and starts its agent.
pub(crate) async fn start(site: &Site, data: &Data, url: &str, binary: PathBuf) -> Result<Supervised> {
    let guests = data.path("node");
    std::fs::create_dir_all(&guests)
        .map_err(|error| Error::unavailable(format!("{} can't be made ({error})", guests.display())))?;
    let capacity = Capacity::of(&guests)?;
    let ctx = site.compute.own_context();
    let disk = capacity.disk_gib;
    let node = cirro_compute::defaults::node(&ctx, machine::name()?, capacity.vcpus, capacity.memory_mib, disk).await?;
    cirro_storage::defaults::pool(&site.storage.own_context(), node, disk).await?;
    let credential = node_credential(&site.identity.own_context(), node).await?;
    let libvirt = std::env::var("CIRRO_LIBVIRT_URI").unwrap_or_else(|_| "qemu:///system".to_owned());
    let config = json!({ "url": url, "node_id": node, "credential": credential.expose(), "data_dir": guests, "libvirt_uri": libvirt });
    let config = data.write_private("node-agent.json", &config.to_string())?;
    let (end, ended) = oneshot::channel();
    Ok(Supervised { end, task: tokio::spawn(supervise(binary, config, ended)) })
}

fn spawn(binary: &Path, config: &Path) -> std::io::Result<Child> {
    // the pipe to its standard input closes when this process ends, however it ends: then the agent ends too
    Command::new(binary).args(["run", "--until-stdin-closes", "--config"]).arg(config).stdin(Stdio::piped()).spawn()
}

async fn supervise(binary: PathBuf, config: PathBuf, mut end: oneshot::Receiver<()>) {
    let mut pause = Duration::from_secs(1);
    loop {
        let started = tokio::time::Instant::now();
        match spawn(&binary, &config) {
            Ok(mut child) => {
                // waiting for a child closes its standard input unless it is kept apart
                let _stdin = child.stdin.take();
                tokio::select! {
                    status = child.wait() => tracing::warn!(?status, "agent.ended: the node agent has ended and is started again"),
                    _ = &mut end => return stop(child).await,
                }
            }
            Err(error) => {
                tracing::error!(%error, binary = %binary.display(), "the node agent can't be started; it is tried again");
            }
        }
        if started.elapsed() > LONGEST_PAUSE {
            pause = Duration::from_secs(1);
        }
        tokio::select! { () = tokio::time::sleep(pause) => {}, _ = &mut end => return }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn stop(mut child: Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::debug!(%error, "the agent had ended already");
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        tracing::warn!("agent.stuck: the node agent did not end in time and is killed; its guests run on");
        let _ = child.kill().await;
    }
}
