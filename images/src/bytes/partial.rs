//! The file of one upload, from its first byte to its place among the objects. Everything here blocks.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use tempfile::NamedTempFile;
use uuid::Uuid;

use super::{
    digest::{Digest, Sha256},
    error::{BytesError, Fault},
    format::Format,
    inspect,
    store::{Inner, sync_folder},
    upload::Stored,
};

/// How many files are begun before an upload gives up: a sweep takes a file away only in the moment before its lock.
const ATTEMPTS: usize = 16;

/// A file that grows; dropping it removes it.
#[derive(Debug)]
pub(super) struct Partial {
    store: Arc<Inner>,
    image: Uuid,
    format: Format,
    file: NamedTempFile,
    sha256: Sha256,
    size: u64,
}

/// A complete file that our own checks found good.
pub(super) struct Judged {
    pub(super) partial: Box<Partial>,
    pub(super) stored: Stored,
    /// For formats that a tool looks at as well: two reading handles for it.
    pub(super) for_tool: Option<[File; 2]>,
}

impl Partial {
    /// Creates the file, locked against [`super::ByteStore::sweep`].
    pub(super) fn create(store: Arc<Inner>, image: Uuid, format: Format) -> Result<Self, BytesError> {
        let failed = |error| BytesError::io(image, "begin an upload", error);
        if store.object(image).try_exists().map_err(failed)? {
            return Err(Fault::AlreadyStored.of(image));
        }
        let file = locked_file(&store.partial, image).map_err(failed)?;
        let sha256 = Sha256::new().map_err(failed)?;
        Ok(Self { store, image, format, file, sha256, size: 0 })
    }

    /// Writes and hashes the next bytes; looks at the first ones.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), BytesError> {
        let failed = |error| BytesError::io(self.image, "write the image's bytes", error);
        // Fewer would be the whole image, which `judge` looks at.
        if self.size == 0 && bytes.len() >= super::qcow2::HEAD {
            let seen = inspect::glance(bytes, self.format, u64::MAX, self.store.max_virtual_size);
            seen.map_err(|fault| fault.of(self.image))?;
        }
        self.store.require_room(self.image, bytes.len() as u64)?;
        self.file.as_file_mut().write_all(bytes).map_err(failed)?;
        self.sha256.update(bytes).map_err(failed)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes were written.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Checks the complete file: cheap reasons to refuse it first.
    pub(super) fn judge(mut self: Box<Self>, expected: Option<Digest>) -> Result<Judged, BytesError> {
        let image = self.image;
        let failed = |error| BytesError::io(image, "check the image's bytes", error);
        let sha256 = self.sha256.finish().map_err(failed)?;
        if let Some(expected) = expected.filter(|&expected| expected != sha256) {
            return Err(Fault::DigestMismatch { expected, received: sha256 }.of(image));
        }
        let file = self.file.as_file();
        let head = inspect::head(file).map_err(failed)?;
        let virtual_size = inspect::glance(&head, self.format, self.size, self.store.max_virtual_size);
        let virtual_size = virtual_size.map_err(|fault| fault.of(image))?;
        let for_tool = match self.format {
            Format::Raw => None,
            Format::Qcow2 => {
                // Readable for the unprivileged user; the store's folder still keeps everybody out.
                file.set_permissions(Permissions::from_mode(0o444)).map_err(failed)?;
                let reading = File::open(self.file.path()).map_err(failed)?;
                Some([reading.try_clone().map_err(failed)?, reading])
            }
        };
        let stored = Stored { image, size: self.size, virtual_size, format: self.format, sha256 };
        Ok(Judged { partial: self, stored, for_tool })
    }

    /// Makes the bytes durable and gives them their place.
    pub(super) fn place(self, stored: Stored) -> Result<Placed, BytesError> {
        let Self { store, image, file, .. } = self;
        let failed = |error| BytesError::io(image, "keep the image's bytes", error);
        file.as_file().set_permissions(Permissions::from_mode(0o400)).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(store.object(image)).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => Fault::AlreadyStored.of(image),
            _ => failed(error.error),
        })?;
        let placed = Placed { store, stored, kept: false };
        sync_folder(&placed.store.objects).map_err(failed)?;
        Ok(placed)
    }
}

/// A new file that no sweep removes. A sweep that sees the file before it is locked takes it away: then another is made.
fn locked_file(folder: &Path, image: Uuid) -> io::Result<NamedTempFile> {
    let prefix = format!("{image}.");
    for _ in 0..ATTEMPTS {
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(&prefix).permissions(Permissions::from_mode(0o600)).tempfile_in(folder)?;
        match file.as_file().try_lock() {
            // a sweep removes only while it holds the lock, so a file that has its name now keeps it
            Ok(()) if file.as_file().metadata()?.nlink() > 0 => return Ok(file),
            Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "each file of it was taken away before it could be locked"))
}

/// An object that goes away again unless somebody keeps it: its request may have been cancelled meanwhile.
pub(super) struct Placed {
    store: Arc<Inner>,
    stored: Stored,
    kept: bool,
}

impl Placed {
    pub(super) fn keep(mut self) -> Stored {
        self.kept = true;
        self.stored.clone()
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let object = self.store.object(self.stored.image);
        if let Err(error) = fs::remove_file(object).and_then(|()| sync_folder(&self.store.objects)) {
            tracing::warn!(image = %self.stored.image, %error, "an image that nobody waited for could not be removed");
        }
    }
}
