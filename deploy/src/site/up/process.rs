//! One process of the site, started again whenever it ends.

use cirro_models::{Error, Result, Service};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
};

/// The pause before a process that has ended is started again; it doubles while that does not help.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a process must have run to be thought well.
const WELL: Duration = Duration::from_secs(10);
/// How long one may take to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// What runs as one process of the site.
#[derive(Clone)]
pub(super) struct Process {
    /// `compute-1`.
    pub(super) name: String,
    /// Whose process it is; the bus is no service's.
    pub(super) service: Option<Service>,
    /// What is typed after `cirro`.
    pub(super) words: Vec<OsString>,
    /// What everybody may not see: variables.
    pub(super) secrets: Vec<(&'static str, String)>,
    /// Where it writes its log, after what is there.
    pub(super) log: PathBuf,
}

/// A process was started, or has ended.
pub(super) struct Change {
    pub(super) name: String,
    pub(super) pid: Option<u32>,
}

impl Process {
    /// Keeps it running until `end` says so; `changes` hears of each start and end.
    pub(super) async fn keep(self, changes: mpsc::Sender<Change>, mut end: watch::Receiver<()>) {
        let mut pause = PAUSE.0;
        loop {
            let started = tokio::time::Instant::now();
            match self.spawn() {
                Ok(mut child) => {
                    // waiting for a child closes its standard input unless it is kept apart
                    let _stdin = child.stdin.take();
                    self.tell(&changes, child.id()).await;
                    tokio::select! {
                        status = child.wait() => self.ended(status),
                        _ = end.changed() => return self.stop(child).await,
                    }
                    self.tell(&changes, None).await;
                }
                Err(error) => {
                    tracing::error!(%error, process = self.name, "a process can't be started; it is tried again");
                }
            }
            pause = if started.elapsed() > WELL { PAUSE.0 } else { pause };
            tokio::select! { () = tokio::time::sleep(pause) => {}, _ = end.changed() => return }
            pause = (pause * 2).min(PAUSE.1);
        }
    }
    fn ended(&self, status: std::io::Result<ExitStatus>) {
        match status {
            // somebody has told it to
            Ok(status) if status.success() => {
                tracing::info!(process = self.name, "a process has ended and is started again");
            }
            status => {
                tracing::warn!(process = self.name, ?status, "process.ended: a process has died and is started again");
            }
        }
    }
    fn spawn(&self) -> Result<Child> {
        let unwritable = |error: std::io::Error| {
            Error::unavailable(format!("the log {} can't be written ({error})", self.log.display()))
        };
        let log: File = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log).map_err(unwritable)?;
        let program = std::env::current_exe().map_err(Error::internal)?;
        let mut command = Command::new(program);
        command.args(&self.words).envs(self.secrets.iter().map(|(name, value)| (name, value)));
        // the pipe closes when this process ends, however it ends: then that one ends, too
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        command.spawn().map_err(|error| Error::unavailable(format!("{} can't be started ({error})", self.name)))
    }
    async fn tell(&self, changes: &mpsc::Sender<Change>, pid: Option<u32>) {
        // nobody listens any more when the site ends
        let _ = changes.send(Change { name: self.name.clone(), pid }).await;
    }
    async fn stop(&self, mut child: Child) {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::debug!(%error, process = self.name, "it had ended already");
        }
        if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
            tracing::warn!(process = self.name, "process.stuck: a process did not end in time and is killed");
            let _ = child.kill().await;
        }
    }
}
