//! The file of a backup: a tar archive of plain files.

use cirro_models::{Error, Result};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
};
use tar::{Archive, Builder, EntryType, Header};

/// More files than this are in no backup.
const MOST: usize = 10_000;

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::unavailable(format!(
        "{} can't be used ({error}): check that it is there, and rights and room",
        path.display()
    ))
}

/// Writes an archive; it appears under its name when it is complete.
pub(super) struct Writer {
    to: PathBuf,
    partial: PathBuf,
    archive: Builder<File>,
}

impl Writer {
    pub(super) fn create(to: &Path) -> Result<Self> {
        if to.exists() {
            return Err(Error::conflict(format!("{} is there already: give another file", to.display())));
        }
        let partial = to.with_extension("partial");
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&partial);
        let file = file.map_err(|error| unusable(&partial, &error))?;
        Ok(Self { to: to.to_owned(), partial, archive: Builder::new(file) })
    }
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut header = header(bytes.len() as u64);
        self.archive.append_data(&mut header, name, bytes).map_err(|error| unusable(&self.partial, &error))
    }
    pub(super) fn add_file(&mut self, name: &str, from: &Path) -> Result<()> {
        let file = File::open(from).map_err(|error| unusable(from, &error))?;
        let mut header = header(file.metadata().map_err(|error| unusable(from, &error))?.len());
        self.archive.append_data(&mut header, name, file).map_err(|error| unusable(&self.partial, &error))
    }
    /// All plain files in a folder and those in it.
    pub(super) fn add_folder(&mut self, name: &str, from: &Path) -> Result<()> {
        for entry in fs::read_dir(from).map_err(|error| unusable(from, &error))? {
            let entry = entry.map_err(|error| unusable(from, &error))?;
            let kind = entry.file_type().map_err(|error| unusable(from, &error))?;
            let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
            if kind.is_dir() {
                self.add_folder(&inner, &entry.path())?;
            } else if kind.is_file() {
                self.add_file(&inner, &entry.path())?;
            }
        }
        Ok(())
    }
    pub(super) fn finish(self) -> Result<()> {
        let Self { to, partial, archive } = self;
        let written = archive.into_inner().and_then(|file| file.sync_all()).and_then(|()| fs::rename(&partial, &to));
        written.map_err(|error| unusable(&to, &error))
    }
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_entry_type(EntryType::Regular);
    header
}

/// Reads an archive.
pub(super) struct Reader {
    from: PathBuf,
    archive: Archive<File>,
}

impl Reader {
    pub(super) fn open(from: &Path) -> Result<Self> {
        let file = File::open(from).map_err(|error| unusable(from, &error))?;
        Ok(Self { from: from.to_owned(), archive: Archive::new(file) })
    }
    /// Writes what is in it to a new folder. Anything but plain files with plain names is refused: a backup may have been
    /// in other hands.
    pub(super) fn unpack(mut self, to: &Path) -> Result<()> {
        let broken = |error: io::Error| {
            Error::invalid("from", format!("{} is no backup of a site, or a broken one ({error})", self.from.display()))
        };
        folder(to)?;
        for (n, entry) in self.archive.entries().map_err(broken)?.enumerate() {
            let mut entry = entry.map_err(broken)?;
            let name = entry.path().map_err(broken)?.into_owned();
            let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
            if n >= MOST || !plain || entry.header().entry_type() != EntryType::Regular {
                return Err(broken(io::Error::other("something in it is no plain file")));
            }
            let path = to.join(&name);
            folder(path.parent().unwrap_or(to))?;
            let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
            let mut file = file.map_err(|error| unusable(&path, &error))?;
            io::copy(&mut entry, &mut file).map_err(|error| unusable(&path, &error))?;
        }
        Ok(())
    }
}

fn folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unusable(path, &error))
}

/// Puts a folder of plain files where none is, on this disk or another.
pub(super) fn put_folder(from: &Path, to: &Path) -> Result<()> {
    folder(to.parent().unwrap_or(to))?;
    fs::rename(from, to).or_else(|_| copy_folder(from, to))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    folder(to)?;
    for entry in fs::read_dir(from).map_err(|error| unusable(from, &error))? {
        let entry = entry.map_err(|error| unusable(from, &error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(|error| unusable(&target, &error))?;
        }
    }
    Ok(())
}
