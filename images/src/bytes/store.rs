//! The object store of images in a local folder.
//!
//! ```text
//! <root>/            0700
//!   objects/<id>     0400  complete, verified, never changed
//!   partial/<id>.…   0600  one upload each, locked (flock) while its upload lives
//! ```
//! Both folders are on one file system, so that a finished upload becomes an object by one rename.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, DirBuilder, File, Permissions},
    io,
    ops::Range,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use super::{
    confine::{Confined, Limits, Tools},
    error::{BytesError, Fault},
    inspect::Inspector,
    read::Object,
    upload::{Terms, Upload},
};

/// How old a partial file is when its upload has locked it for sure.
const SETTLED: Duration = Duration::from_mins(1);

/// What an installation may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// The largest disk that may be inside an image, in bytes.
    pub max_virtual_size: u64,
    /// Bytes of the disk that uploads leave free, so that a database beside them can still write.
    pub keep_free: u64,
    /// The tools that judge images.
    pub tools: Tools,
    /// What one run of a tool may use.
    pub limits: Limits,
}

impl Default for Options {
    /// 2 TiB disks; 256 MiB kept free.
    fn default() -> Self {
        Self { max_virtual_size: 2 << 40, keep_free: 256 << 20, tools: Tools::default(), limits: Limits::default() }
    }
}

/// An object in the store that belongs to no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The image that it was stored for.
    pub image: Uuid,
    /// Its size in bytes.
    pub size: u64,
    /// When it was stored. A young one may belong to an image that was not known yet when the known ones were listed.
    pub stored: SystemTime,
}

/// What [`ByteStore::sweep`] did and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many uploads of ended processes were removed.
    pub partials_removed: u64,
    /// Objects that nobody knows; they are still there.
    pub orphans: Vec<Orphan>,
}

/// What [`ByteStore::look`] has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The size in bytes of each image's object.
    pub objects: HashMap<Uuid, u64>,
    /// The images of partial files that no upload has any more.
    pub abandoned: Vec<Uuid>,
}

/// The store. Cloning it is cheap and gives the same store.
#[derive(Debug, Clone)]
pub struct ByteStore(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) objects: PathBuf,
    pub(super) partial: PathBuf,
    pub(super) max_virtual_size: u64,
    pub(super) keep_free: u64,
    pub(super) inspector: Inspector,
}

impl ByteStore {
    /// Opens the store in the folder `root`, making it if need be.
    ///
    /// # Errors
    /// [`Fault::Storage`] when it can't be made or closed to others.
    pub async fn open_at(root: impl Into<PathBuf>, options: Options) -> Result<Self, BytesError> {
        let root = root.into();
        let inner = Inner {
            objects: root.join("objects"),
            partial: root.join("partial"),
            max_virtual_size: options.max_virtual_size,
            keep_free: options.keep_free,
            inspector: Inspector::new(Confined::new(options.tools, options.limits)),
        };
        blocking(Uuid::nil(), move || {
            for folder in [&root, &inner.objects, &inner.partial] {
                private_folder(folder).map_err(|error| BytesError::io(Uuid::nil(), "make its folder", error))?;
            }
            Ok(Self(Arc::new(inner)))
        })
        .await
    }

    /// Begins to receive an image's bytes.
    ///
    /// # Errors
    /// [`Fault::AlreadyStored`]; [`Fault::TooLarge`] and [`Fault::NoSpace`] when the declared size says so already.
    pub async fn begin(&self, image: Uuid, terms: Terms) -> Result<Upload, BytesError> {
        Upload::begin(Arc::clone(&self.0), image, terms).await
    }

    /// Opens an image's bytes, or those of a range of it (`start..end`, in bytes, end excluded).
    ///
    /// # Errors
    /// [`Fault::NotStored`], [`Fault::BadRange`].
    pub async fn open(&self, image: Uuid, range: Option<Range<u64>>) -> Result<Object, BytesError> {
        let path = self.0.object(image);
        blocking(image, move || Object::open(image, path, range)).await
    }

    /// Removes an image's bytes; says whether there were any. Downloads under way finish undisturbed.
    ///
    /// # Errors
    /// [`Fault::Storage`].
    pub async fn remove(&self, image: Uuid) -> Result<bool, BytesError> {
        let store = Arc::clone(&self.0);
        blocking(image, move || {
            let removed = match fs::remove_file(store.object(image)) {
                Ok(()) => sync_folder(&store.objects).map(|()| true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            };
            removed.map_err(|error| BytesError::io(image, "remove the image's bytes", error))
        })
        .await
    }

    /// Removes the partial files of processes that ended, and lists the objects of images that are not in `known`.
    /// Uploads under way, here or in another process, are left alone.
    ///
    /// # Errors
    /// [`Fault::Storage`].
    pub async fn sweep(&self, known: HashSet<Uuid>) -> Result<Swept, BytesError> {
        let store = Arc::clone(&self.0);
        blocking(Uuid::nil(), move || {
            let swept = store.sweep(&known);
            swept.map_err(|error| BytesError::io(Uuid::nil(), "be swept", error))
        })
        .await
    }

    /// What there is; nothing is changed, and no upload is disturbed.
    ///
    /// # Errors
    /// [`Fault::Storage`].
    pub async fn look(&self) -> Result<Seen, BytesError> {
        let store = Arc::clone(&self.0);
        blocking(Uuid::nil(), move || store.look().map_err(|error| BytesError::io(Uuid::nil(), "be looked at", error)))
            .await
    }
}

impl Inner {
    /// Where the bytes of an image are when they are complete.
    pub(super) fn object(&self, image: Uuid) -> PathBuf {
        self.objects.join(image.to_string())
    }

    /// Fails when storing `more` bytes would go below what is to be kept free. Blocking.
    pub(super) fn require_room(&self, image: Uuid, more: u64) -> Result<(), BytesError> {
        let disk = rustix::fs::statvfs(&self.partial)
            .map_err(|error| BytesError::io(image, "see how full its disk is", error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if more.saturating_add(self.keep_free) > free { Err(Fault::NoSpace.of(image)) } else { Ok(()) }
    }

    fn sweep(&self, known: &HashSet<Uuid>) -> io::Result<Swept> {
        let mut swept = Swept::default();
        for entry in fs::read_dir(&self.partial)? {
            if remove_abandoned(&entry?.path())? {
                swept.partials_removed += 1;
            }
        }
        for entry in fs::read_dir(&self.objects)? {
            let entry = entry?;
            let image = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(image) = image.filter(|image| !known.contains(image)) else { continue };
            match entry.metadata() {
                // Also its time of writing is that of its storing: nothing writes it afterwards.
                Ok(file) => swept.orphans.push(Orphan { image, size: file.len(), stored: file.modified()? }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(swept)
    }

    fn look(&self) -> io::Result<Seen> {
        let mut seen = Seen::default();
        for entry in fs::read_dir(&self.partial)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next());
            if let Some(image) = name.and_then(|name| name.parse().ok())
                && is_abandoned(&path)?
            {
                seen.abandoned.push(image);
            }
        }
        for entry in fs::read_dir(&self.objects)? {
            let entry = entry?;
            let Some(image) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match entry.metadata() {
                Ok(file) => drop(seen.objects.insert(image, file.len())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }
}

/// Whether no upload holds the lock of a partial file. A young file is left alone: its upload may be about to lock it.
fn is_abandoned(partial: &Path) -> io::Result<bool> {
    let file = match File::open(partial) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let young = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age < SETTLED);
    if young {
        return Ok(false);
    }
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a partial file unless a living upload holds its lock.
fn remove_abandoned(partial: &Path) -> io::Result<bool> {
    let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(false) } else { Err(error) };
    let file = match File::open(partial) {
        Ok(file) => file,
        Err(error) => return gone(error),
    };
    match file.try_lock() {
        Ok(()) => fs::remove_file(partial).map(|()| true).or_else(gone),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Makes a folder that only we may enter; closes one that is there.
fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Makes the names in a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Does blocking work for an image away from the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    image: Uuid,
    work: impl FnOnce() -> Result<T, BytesError> + Send + 'static,
) -> Result<T, BytesError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| BytesError::lost(image, &error))?
}
