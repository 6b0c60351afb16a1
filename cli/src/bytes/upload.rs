//! `cirro image create`: announces the image, streams its bytes, and takes the announcement back if that fails.

use crate::{
    bytes::{PIECE, hex, progress::bar},
    failure::Failure,
    nouns::Noun,
    out,
    site::{Said, Site},
    verbs::{Key, Labels, create, show},
    wait::{self, Ended, Patience, Wait},
};
use bytes::Bytes;
use cirro_models::{
    Id, Name, Verbs,
    images::{
        MachineImage,
        machine_image::{ImageFormat, NewMachineImage},
    },
};
use clap::Args;
use futures_util::{Stream, stream};
use indicatif::ProgressBar;
use openssl::sha::Sha256;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;

/// What every qcow2 file begins with (QEMU's `docs/interop/qcow2.rst`).
const QCOW2: &[u8; 4] = b"QFI\xfb";

/// `create`.
#[derive(Debug, Args)]
pub(crate) struct Upload {
    /// The disk image
    #[arg(long)]
    file: PathBuf,
    /// What people call it; without it, the file's name without its ending
    #[arg(long)]
    name: Option<Name>,
    /// The file's layout; without it, what the file looks like
    #[arg(long, value_name = "qcow2|raw")]
    format: Option<ImageFormat>,
    /// Let every project use it: for operators
    #[arg(long)]
    public: bool,
    #[command(flatten)]
    labels: Labels,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    key: Key,
}

impl Upload {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let source = Source::open(&self.file)?;
        let name = match self.name {
            Some(name) => name,
            None => name_of(&self.file)?,
        };
        let new = NewMachineImage {
            name,
            format: Some(self.format.unwrap_or(source.looks_like)),
            public: self.public.then_some(true),
            size_bytes: Some(cirro_models::Bytes::new(i64::try_from(source.size).unwrap_or(i64::MAX))),
            sha256: None,
            labels: self.labels.read(),
        };
        let announced = create::<MachineImage>(site, new, &self.key, None).await?.value;
        let outcome = tokio::select! {
            outcome = send(site, announced.id, source.file, source.size, &self.file) => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        };
        let said = match outcome {
            Ok(said) => said,
            Err(failure) => {
                take_back(site, &announced).await;
                return Err(failure);
            }
        };
        match self.wait.longest() {
            Some(longest) => match wait::until(site, announced.id, longest, Noun::created).await? {
                Ended::Reached(said) => show(site, &said).await,
                Ended::Gone => Err(Failure::failed(format!("image {} was deleted meanwhile", announced.name))),
            },
            None => show(site, &said).await,
        }
    }
}

/// Sends the bytes, and compares what the site has received with what was read.
async fn send(
    site: &Site,
    id: Id<MachineImage>,
    file: File,
    length: u64,
    path: &Path,
) -> Result<Said<MachineImage>, Failure> {
    let bar = bar(&path.display().to_string(), Some(length));
    let digest = Arc::new(Mutex::new(Sha256::new()));
    let ctx = site.context().await?.keyed(uuid::Uuid::now_v7().to_string());
    let announced = length.to_string();
    let headers = [("content-type", "application/octet-stream"), ("content-length", announced.as_str())];
    let pieces = pieces(file, length, digest.clone(), bar.clone());
    let answer =
        site.http().upload(&ctx, "PUT", &format!("/images/v1/machineimage/{id}/bytes"), pieces, &headers).await;
    bar.finish_and_clear();
    let answer = answer.and_then(|answer| answer.read::<serde::de::IgnoredAny>());
    answer.map_err(|error| Failure::of(error, ctx.request_id()))?;
    let stored = site.call(None, |ctx| async move { MachineImage::get(&ctx, id).await }).await?;
    let read = hex(digest.lock().unwrap_or_else(PoisonError::into_inner).clone());
    match &stored.value.sha256 {
        Some(received) if *received != read => Err(Failure::failed(format!(
            "the site received other bytes (sha256 {received}) than {} holds (sha256 {read}): try again",
            path.display()
        ))),
        _ => Ok(stored),
    }
}

/// Deletes an image whose bytes did not come, so that nothing half-made is left.
async fn take_back(site: &Site, image: &MachineImage) {
    let id = image.id;
    let key = uuid::Uuid::now_v7().to_string();
    let deleted = site.call(Some(&key), |ctx| async move { MachineImage::delete(&ctx, id).await }).await;
    match deleted {
        Ok(_) => {}
        Err(failure) if failure.is_not_found() => {}
        Err(failure) => out::note(&format!(
            "The announced image is left behind ({}): `cirro image delete {id}`",
            failure.sentence()
        )),
    }
}

/// The file, read and hashed piece by piece on a thread of its own; at most four pieces wait to be sent.
fn pieces(
    file: File,
    size: u64,
    digest: Arc<Mutex<Sha256>>,
    bar: ProgressBar,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        // what is appended meanwhile was not announced
        let mut file = file.take(size);
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
            let piece = match read {
                Ok(0) => return,
                Ok(_) => {
                    digest.lock().unwrap_or_else(PoisonError::into_inner).update(&piece);
                    bar.inc(piece.len() as u64);
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(error),
            };
            let broken = piece.is_err();
            // the one who sends has given up
            if sender.blocking_send(piece).is_err() || broken {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|piece| (piece, receiver)) })
}

/// The file to send.
struct Source {
    file: File,
    size: u64,
    looks_like: ImageFormat,
}

impl Source {
    fn open(path: &Path) -> Result<Self, Failure> {
        let unusable = |why: String| {
            Failure::failed(format!("{} can't be uploaded ({why}): give a readable disk image", path.display()))
        };
        let opened = File::open(path).and_then(|file| file.metadata().map(|meta| (file, meta)));
        let (mut file, meta) = opened.map_err(|error| unusable(error.to_string()))?;
        if !meta.is_file() {
            return Err(unusable("it is no plain file".to_owned()));
        }
        if meta.len() == 0 {
            return Err(unusable("it is empty".to_owned()));
        }
        let mut magic = Vec::new();
        let begun = (&mut file).take(4).read_to_end(&mut magic);
        let rewound = begun.and_then(|_| io::Seek::rewind(&mut file));
        rewound.map_err(|error| unusable(error.to_string()))?;
        let looks_like = if magic == QCOW2 { ImageFormat::Qcow2 } else { ImageFormat::Raw };
        Ok(Self { file, size: meta.len(), looks_like })
    }
}

fn name_of(path: &Path) -> Result<Name, Failure> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Name::parse(&stem).map_err(|why| Failure::usage(format!("{why}; or give another with --name")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use std::io::Write;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("{error}"));
        file.write_all(bytes).unwrap_or_else(|error| panic!("{error}"));
        file
    }

    #[test]
    fn the_format_is_what_the_file_looks_like() {
        let looks =
            |bytes: &[u8]| Source::open(file(bytes).path()).map(|source| source.looks_like).map_err(|f| f.sentence());
        assert_eq!(looks(b"QFI\xfb\0\0\0\x03"), Ok(ImageFormat::Qcow2));
        assert_eq!(looks(b"QF"), Ok(ImageFormat::Raw));
        assert!(looks(b"").is_err());
        assert!(Source::open(Path::new("/")).is_err());
        assert!(Source::open(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn a_file_names_its_image() {
        assert_eq!(name_of(Path::new("/x/demo.qcow2")).ok().map(|name| name.to_string()).as_deref(), Some("demo"));
        assert!(name_of(Path::new("/x/a b.raw")).err().is_some_and(|failure| failure.sentence().contains("--name")));
    }

    #[tokio::test]
    async fn pieces_are_the_file_and_its_digest_and_no_more() {
        let content: Vec<u8> = (0..3 * PIECE + 17).map(|n| u8::try_from(n % 251).unwrap_or_default()).collect();
        let file = file(&content);
        let size = content.len() as u64 - 5;
        let digest = Arc::new(Mutex::new(Sha256::new()));
        let opened = File::open(file.path()).unwrap_or_else(|error| panic!("{error}"));
        let stream = pieces(opened, size, digest.clone(), ProgressBar::hidden());
        let got: Vec<u8> = Box::pin(stream).flat_map(|piece| stream::iter(piece.unwrap_or_default())).collect().await;
        assert!(got == content[..content.len() - 5]);
        let mut expected = Sha256::new();
        expected.update(&got);
        assert_eq!(hex(digest.lock().unwrap_or_else(PoisonError::into_inner).clone()), hex(expected));
    }
}
