//! nginx as a process: its configuration tested, put in place, and taken over as seldom as possible.
//!
//! It runs apart from whoever writes its configuration: that one may die and be started again without a call noticing.

use crate::bus::config::Word;
use cirro_models::{Error, Result};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::Command;

/// How long nginx may take to start, to judge a configuration, or to end with what is under way.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often there is a look whether it has done so.
const LOOK: Duration = Duration::from_millis(20);

/// An nginx with everything in one folder.
pub(super) struct Nginx {
    folder: PathBuf,
}

impl Nginx {
    /// Prepares the folder.
    pub(super) fn prepare(folder: &Path) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            Error::unavailable(format!(
                "nginx's folder {} can't be used ({error}): check its rights, or give another with --dir",
                folder.display()
            ))
        };
        // nginx's workers, who have no rights of their own, pass through to what they write
        DirBuilder::new().recursive(true).mode(0o711).create(folder.join("tmp")).map_err(unusable)?;
        let folder = folder.canonicalize().map_err(unusable)?;
        Word::path(&folder)?;
        Ok(Self { folder })
    }
    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
    /// Whether it runs.
    pub(super) fn runs(&self) -> bool {
        self.process().is_some()
    }
    /// Makes nginx use this configuration if it says that it is one; starts it if it does not run. What is in use stays
    /// when the new one is refused.
    pub(super) async fn apply(&self, text: &str) -> Result<()> {
        let (fresh, current) = (self.folder.join("nginx.conf.new"), self.folder.join("nginx.conf"));
        let (to, bytes) = (fresh.clone(), text.as_bytes().to_vec());
        let write = move || {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(to)?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(Error::internal)?;
        written.map_err(|error| self.unwritable(&error))?;
        self.run(&["-t", "-q"], &fresh).await?;
        tokio::fs::rename(&fresh, &current).await.map_err(|error| self.unwritable(&error))?;
        match self.process() {
            Some(process) => kill_process(process, Signal::HUP).map_err(Error::internal),
            None => self.start(&current).await,
        }
    }
    /// Ends it, when the requests under way have their answers.
    pub(super) async fn stop(&self) -> Result<()> {
        let Some(process) = self.process() else { return Ok(()) };
        kill_process(process, Signal::QUIT).map_err(Error::internal)?;
        if !self.until(|| test_kill_process(process).is_err()).await {
            tracing::warn!("nginx has requests that do not end, and is ended with them");
            let _ = kill_process(process, Signal::TERM);
        }
        Ok(())
    }

    async fn start(&self, config: &Path) -> Result<()> {
        self.run(&[], config).await?;
        if self.until(|| self.runs()).await {
            return Ok(());
        }
        Err(Error::unavailable(format!("nginx does not start: see {}/error.log", self.folder.display())))
    }
    /// Runs the program until it has ended, or has put itself into the background.
    async fn run(&self, words: &[&str], config: &Path) -> Result<()> {
        let mut command = Command::new("nginx");
        command
            .args(words)
            .arg("-p")
            .arg(&self.folder)
            .arg("-c")
            .arg(config)
            .arg("-e")
            .arg(self.folder.join("error.log"));
        let ran = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
        let done = match ran {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                let what = format!("nginx can't be started ({error}): install it with `deploy/packages bus`");
                return Err(Error::unavailable(what));
            }
            Err(_) => return Err(Error::unavailable("nginx does not answer: see what it waits for, and try again")),
        };
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let why = said.lines().find(|line| line.contains("[emerg]")).unwrap_or("it does not say why");
        Err(Error::unavailable(format!("nginx refuses its configuration {}: {why}", config.display())))
    }
    /// The master that runs, by its pid file; the file of one that died is a dead process's, or somebody else's.
    fn process(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.folder.join("nginx.pid")).ok()?;
        let id: i32 = text.trim().parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
        // one that has ended and was not waited for yet is none
        let state = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let dead = state.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
        (name.trim() == "nginx" && !dead).then(|| Pid::from_raw(id))?
    }
    async fn until(&self, condition: impl Fn() -> bool) -> bool {
        let wait = async {
            while !condition() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.is_ok()
    }
    fn unwritable(&self, error: &std::io::Error) -> Error {
        Error::unavailable(format!("{} can't be written ({error}): check rights and room", self.folder.display()))
    }
}
