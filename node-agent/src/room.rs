//! Disk room, of which a reserve is never given away: a host whose disk is full can't even write down what went wrong.

use crate::failure::{Failure, OrSay, Result};
use std::path::PathBuf;

/// The room of one file system.
#[derive(Debug, Clone)]
pub struct Room {
    /// A directory in it.
    pub directory: PathBuf,
    /// Bytes that stay free.
    pub reserve: u64,
}

impl Room {
    /// Refuses when less than these bytes are free above the reserve.
    pub fn require(&self, bytes: u64, what: &str) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.directory)
            .or_say(|| format!("can't see how much room {} has", self.directory.display()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free.saturating_sub(self.reserve) < bytes {
            return Err(Failure::new(format!(
                "no room for {what}: {} has {} MiB free, of which {} MiB stay in reserve; free some disk room on the node",
                self.directory.display(),
                free >> 20,
                self.reserve >> 20
            )));
        }
        Ok(())
    }
}
