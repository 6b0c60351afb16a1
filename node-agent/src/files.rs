//! Where a node keeps what: one place that knows every path.
//!
//! ```text
//! DATA/images/<sha256>.<format>      verified images, read-only
//! DATA/instances/<id>/root.qcow2     the root disk, over an image
//!                     config.img     the config disk
//!                     console.log    what the guest has printed
//! POOL/<volume id>.qcow2             volumes
//! ```

use crate::failure::{OrSay, Result};
use cirro_models::{Id, compute::Instance, storage::Volume};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The directories of one node.
#[derive(Debug, Clone)]
pub struct Files {
    data: PathBuf,
    pool: PathBuf,
}

impl Files {
    /// Makes the directories, closed to other users, as far as they are missing.
    pub fn open(data: PathBuf, pool: PathBuf) -> Result<Self> {
        let files = Self { data, pool };
        for directory in [&files.data, &files.images(), &files.instances(), &files.pool] {
            make_private(directory)?;
        }
        Ok(files)
    }
    /// The directory of all.
    pub fn data(&self) -> &Path {
        &self.data
    }
    /// The directory of volumes.
    pub fn pool(&self) -> &Path {
        &self.pool
    }
    /// The directory of images.
    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }
    /// The directory of guests.
    pub fn instances(&self) -> PathBuf {
        self.data.join("instances")
    }
    /// The directory of one guest.
    pub fn instance(&self, id: Id<Instance>) -> PathBuf {
        self.instances().join(id.to_string())
    }
    /// A guest's root disk.
    pub fn root_disk(&self, id: Id<Instance>) -> PathBuf {
        self.instance(id).join("root.qcow2")
    }
    /// A guest's config disk.
    pub fn config_disk(&self, id: Id<Instance>) -> PathBuf {
        self.instance(id).join("config.img")
    }
    /// A guest's console text.
    pub fn console(&self, id: Id<Instance>) -> PathBuf {
        self.instance(id).join("console.log")
    }
    /// A volume's file.
    pub fn volume(&self, id: Id<Volume>) -> PathBuf {
        self.pool.join(format!("{id}.qcow2"))
    }
    /// The volume whose file this is.
    pub fn volume_at(&self, path: &Path) -> Option<Id<Volume>> {
        let ours = path.parent() == Some(self.pool.as_path()) && path.extension().is_some_and(|e| e == "qcow2");
        ours.then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
    }

    /// Makes the directory of one guest.
    pub fn make_instance(&self, id: Id<Instance>) -> Result<PathBuf> {
        let directory = self.instance(id);
        make_private(&directory)?;
        Ok(directory)
    }
    /// Removes the directory of one guest with all that is in it.
    pub fn remove_instance(&self, id: Id<Instance>) -> Result<()> {
        let directory = self.instance(id);
        gone_already(fs::remove_dir_all(&directory)).or_say(|| format!("can't remove {}", directory.display()))
    }
    /// Removes a volume's file.
    pub fn remove_volume(&self, id: Id<Volume>) -> Result<()> {
        let path = self.volume(id);
        gone_already(fs::remove_file(&path)).or_say(|| format!("can't remove {}", path.display()))
    }
    /// Every instance that has a directory.
    pub fn all_instances(&self) -> Result<BTreeSet<Id<Instance>>> {
        let names = names_in(&self.instances())?;
        Ok(names.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect())
    }
    /// Every volume whose file is complete.
    pub fn all_volumes(&self) -> Result<BTreeSet<Id<Volume>>> {
        Ok(names_in(&self.pool)?.iter().filter_map(|path| self.volume_at(path)).collect())
    }
}

fn make_private(directory: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.or_say(|| format!("can't make the directory {}: check its parent's owner and mode", directory.display()))?;
    let meta = fs::metadata(directory).or_say(|| format!("can't look at {}", directory.display()))?;
    let rights = meta.permissions().mode() & 0o777;
    // What others may do here is nothing; what QEMU's user may do is a matter of the hypervisor's.
    if rights & 0o007 != 0 {
        let closed = fs::Permissions::from_mode(rights & 0o770);
        fs::set_permissions(directory, closed).or_say(|| format!("can't close {} to others", directory.display()))?;
    }
    Ok(())
}

fn names_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
    entries.or_say(|| format!("can't read {}", directory.display()))
}

fn gone_already(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
