//! The PostgreSQL that a site of several processes stands on, its own for a test.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A PostgreSQL server.
pub struct Postgres {
    folder: PathBuf,
    pub url: String,
}

fn script(verb: &str, folder: &Path, address: Option<IpAddr>) -> String {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres"));
    script.arg(verb).arg(folder).args(address.map(|address| address.to_string()));
    let done = script.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "deploy/postgres {verb}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

impl Postgres {
    pub fn start(folder: &Path, address: IpAddr) -> Self {
        let folder = folder.join("postgres");
        Self { url: script("start", &folder, Some(address)), folder }
    }
    /// Kills it without a word, and starts it again with its data.
    pub fn crash(&self) {
        script("crash", &self.folder, None);
    }
    /// Ends all connections and starts it again.
    pub fn restart(&self) {
        script("restart", &self.folder, None);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        script("stop", &self.folder, None);
    }
}
