//! `cirro image download`: the file appears when it is whole and its digest is right, and not before.

use crate::{
    bytes::{hex, progress::bar},
    failure::Failure,
    out, resolve,
    site::Site,
};
use cirro_models::{Verbs, images::MachineImage};
use clap::Args;
use futures_util::StreamExt;
use openssl::sha::Sha256;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// `download`.
#[derive(Debug, Args)]
pub(crate) struct Download {
    /// The image's name or id
    #[arg(value_name = "NAME|ID")]
    which: String,
    /// Where to write it
    file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

impl Download {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<MachineImage>(site, &self.which).await?;
        let image = site.call(None, |ctx| async move { MachineImage::get(&ctx, id).await }).await?.value;
        image.require_ready()?;
        if !self.force && self.file.exists() {
            return Err(Failure::usage(format!("{} exists: name another file, or say --force", self.file.display())));
        }
        let ctx = site.context().await?;
        let streamed = site.http().download(&ctx, &format!("/images/v1/machineimage/{id}/bytes")).await;
        let mut streamed = streamed.map_err(|error| Failure::of(error, ctx.request_id()))?;
        let mut part = Part::create(&self.file)?;
        let bar = bar(&image.name, streamed.length.or(image.size_bytes.map(|size| size.get().unsigned_abs())));
        let mut digest = Sha256::new();
        while let Some(piece) = streamed.bytes.next().await {
            let piece = piece.map_err(|error| {
                Failure::from(cirro_models::Error::unavailable(format!("the image broke off ({error}): try again")))
            })?;
            digest.update(&piece);
            bar.inc(piece.len() as u64);
            part = part.write(piece).await?;
        }
        bar.finish_and_clear();
        let received = hex(digest);
        if let Some(expected) = image.sha256.as_ref().filter(|expected| **expected != received) {
            return Err(Failure::failed(format!(
                "the image came damaged (sha256 {received} instead of {expected}): try again"
            )));
        }
        part.finish(&self.file)?;
        out::note(&format!("{} is whole: sha256 {received}", self.file.display()));
        Ok(())
    }
}

/// A file in the making; dropped before it is finished, it removes itself.
struct Part {
    file: File,
    path: PathBuf,
    finished: bool,
}

impl Part {
    fn create(target: &Path) -> Result<Self, Failure> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part-{}", uuid::Uuid::now_v7()));
        let path = target.with_file_name(name);
        let file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| unwritable(target, &error))?;
        Ok(Self { file, path, finished: false })
    }
    async fn write(mut self, piece: bytes::Bytes) -> Result<Self, Failure> {
        let written = tokio::task::spawn_blocking(move || {
            let written = self.file.write_all(&piece);
            (self, written)
        });
        let (part, written) = written.await.map_err(cirro_models::Error::internal)?;
        written.map_err(|error| unwritable(&part.path, &error))?;
        Ok(part)
    }
    fn finish(mut self, target: &Path) -> Result<(), Failure> {
        let renamed = self.file.sync_all().and_then(|()| fs::rename(&self.path, target));
        renamed.map_err(|error| unwritable(target, &error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.finished {
            // what remains if that fails is named as a part
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} can't be written ({error}): make room, or name another file", path.display()))
}
