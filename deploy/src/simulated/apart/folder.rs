//! The folder of simulated nodes in that of their site: a folder with the credential of each, and for each process its
//! ledger, its claim to its numbers, and the socket at which the power of its machines is asked.

use crate::simulated::Simulation;
use cirro_models::{Error, Result};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    ops::Range,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

/// Its name in the site's folder.
pub(crate) const FOLDER: &str = "simulated";
/// What the names of claims begin with.
const CLAIM: &str = "claim-";
/// What the names of sockets begin with.
const POWER: &str = "power-";

/// The fence command of a site whose nodes are simulated. Nothing of anybody's choosing stands in it.
const FENCE: &str = r#"#!/bin/sh
# Written by `cirro site up --simulate`: what is changed here is lost.
here=$(dirname "$0")
exec "$here/cirro" site simulate-power --data "$here/.." "$@"
"#;

/// The folder, and the claim of this process to some numbers. That ends with the process, however it ends.
pub(super) struct Folder {
    root: PathBuf,
    numbers: Range<u32>,
    _claim: File,
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{} can't be used ({error}): check rights and room", path.display()))
}

fn make(data: &Path) -> Result<PathBuf> {
    let root = data.join(FOLDER);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&root).and_then(|()| root.canonicalize());
    made.map_err(|error| unusable(&root, &error))
}

/// Puts the fence command there: where it is. Blocks.
pub(crate) fn fence(data: &Path) -> Result<PathBuf> {
    let root = make(data)?;
    let (path, program) = (root.join("fence"), root.join("cirro"));
    let own = std::env::current_exe().map_err(Error::internal)?;
    let write = || {
        match fs::remove_file(&program) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(own, &program)?;
        cirro_client::credential::replace(&path, FENCE.as_bytes(), 0o700)
    };
    write().map_err(|error| unusable(&root, &error)).map(|()| path)
}

impl Folder {
    /// Opens it for the nodes with these numbers. Blocks.
    ///
    /// # Errors
    /// Another process has some of them.
    pub(super) fn open(data: &Path, numbers: Range<u32>) -> Result<Self> {
        let root = make(data)?;
        let path = root.join(format!("{CLAIM}{:04}", numbers.start));
        let taken = |numbers: &Range<u32>| {
            Error::conflict(format!(
                "another process simulates node-{:04} to node-{:04} of this site: end it, or give other numbers with --first",
                numbers.start,
                numbers.end.saturating_sub(1)
            ))
        };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut claim = options.open(&path).map_err(|error| unusable(&path, &error))?;
        claim.try_lock().map_err(|_| taken(&numbers))?;
        let text = format!("{} {}\n", numbers.start, numbers.end);
        let noted = claim.set_len(0).and_then(|()| claim.write_all(text.as_bytes()));
        noted.map_err(|error| unusable(&path, &error))?;
        for other in claims(&root).map_err(|error| unusable(&root, &error))? {
            if other.start != numbers.start && other.start < numbers.end && numbers.start < other.end {
                return Err(taken(&other));
            }
        }
        Ok(Self { root, numbers, _claim: claim })
    }
    /// A file of this process.
    pub(super) fn own(&self, what: &str) -> PathBuf {
        self.root.join(format!("{what}-{:04}", self.numbers.start))
    }
    /// Where the credential of a node is.
    pub(super) fn node(&self, number: u32) -> Result<PathBuf> {
        Ok(self.root.join(Simulation::name(number)?.as_str()))
    }
    /// Whether all nodes have joined, and nothing is left to do for that.
    pub(super) fn is_complete(&self) -> bool {
        fs::read_to_string(self.own("complete")).is_ok_and(|text| text == self.text())
    }
    /// From now on. Blocks.
    pub(super) fn complete(&self) -> Result<()> {
        let path = self.own("complete");
        let written = cirro_client::credential::replace(&path, self.text().as_bytes(), 0o600);
        written.map_err(|error| unusable(&path, &error))
    }
    fn text(&self) -> String {
        format!("{} {}\n", self.numbers.start, self.numbers.end)
    }
    /// The socket at which the power of its machines is asked.
    pub(super) fn listen(&self) -> Result<UnixListener> {
        let path = self.root.join(format!("{POWER}{:04}.sock", self.numbers.start));
        // one that a killed process has left: the claim says that there is no other
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(&path, &error)),
            _ => {}
        }
        UnixListener::bind(&path).map_err(|error| unusable(&path, &error))
    }
}

/// The numbers that processes have now.
fn claims(root: &Path) -> std::io::Result<Vec<Range<u32>>> {
    let mut held = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(CLAIM) {
            continue;
        }
        let text = fs::read_to_string(entry.path())?;
        let numbers = text.trim().split_once(' ').and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
        // the claim of a process that has ended is nobody's
        let is_held = File::open(entry.path())?.try_lock_shared().is_err();
        held.extend(numbers.filter(|_| is_held));
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_process_until_it_ends() {
        let site = tempfile::tempdir().unwrap();
        let first = Folder::open(site.path(), 1..11).unwrap();
        for numbers in [1..11, 1..3, 5..6, 10..20] {
            let refused = Folder::open(site.path(), numbers).err().unwrap().to_string();
            assert!(refused.contains("another process"), "{refused}");
        }
        let second = Folder::open(site.path(), 11..21).unwrap();
        drop(first);
        assert!(Folder::open(site.path(), 5..11).is_ok());
        drop(second);
        assert!(Folder::open(site.path(), 5..15).is_ok());
    }

    #[test]
    fn it_is_complete_for_the_numbers_that_it_was_completed_for() {
        let site = tempfile::tempdir().unwrap();
        let folder = Folder::open(site.path(), 1..11).unwrap();
        assert!(!folder.is_complete());
        folder.complete().unwrap();
        assert!(folder.is_complete());
        drop(folder);
        assert!(!Folder::open(site.path(), 1..12).unwrap().is_complete());
    }
}
