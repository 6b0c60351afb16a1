//! The folder that holds a site, and the lock that keeps a second process out of it.

use cirro_models::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The folder that holds a site. The lock ends with the process, however it ends.
pub(crate) struct Data {
    root: PathBuf,
    _lock: File,
}

impl Data {
    /// Makes the folder if there is none, and takes its lock.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            Error::unavailable(format!(
                "the data folder {} can't be used ({error}): check its rights and its disk, or give another with --data",
                root.display()
            ))
        };
        fs::create_dir_all(root).map_err(unusable)?;
        let root = root.canonicalize().map_err(unusable)?;
        // others may pass through to the guests' disks, which QEMU's user opens, but list nothing
        fs::set_permissions(&root, Permissions::from_mode(0o711)).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(root.join("lock"))
            .map_err(unusable)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Error::conflict(format!(
                "another process of Cirro uses the data folder {}: stop it first, or give another with --data",
                root.display()
            ))
        })?;
        Ok(Self { root, _lock: lock })
    }
    /// A folder in it that only its owner enters.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(path),
            Err(error) => Err(Error::unavailable(format!(
                "the folder {} can't be made ({error}): check rights and room",
                path.display()
            ))),
        }
    }
    /// A file that only its owner reads, made empty if there is none; one from before is closed to others.
    pub(crate) fn private_file(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let closed = file.and_then(|file| file.set_permissions(Permissions::from_mode(0o600)));
        closed.map_err(|error| {
            Error::unavailable(format!("{} can't be used ({error}): check rights and room", path.display()))
        })?;
        Ok(path)
    }
    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
    /// Writes a file that only its owner reads, whole or not at all.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> Result<PathBuf> {
        let (path, partial) = (self.root.join(name), self.root.join(format!("{name}.new")));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&partial)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        };
        write().map_err(|error| {
            Error::unavailable(format!("{} can't be written ({error}): check rights and room", path.display()))
        })?;
        Ok(path)
    }
}
