//! The PostgreSQL that a site of several processes stands on, its own for a test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A PostgreSQL server.
pub struct Postgres {
    folder: PathBuf,
    pub url: String,
}

fn script(verb: &str, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres");
    let done = Command::new(script).arg(verb).arg(folder).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "deploy/postgres {verb}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

impl Postgres {
    pub fn start(folder: &Path) -> Self {
        let folder = folder.join("postgres");
        Self { url: script("start", &folder), folder }
    }
    /// Ends all connections and starts it again.
    pub fn restart(&self) {
        script("restart", &self.folder);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        script("stop", &self.folder);
    }
}
