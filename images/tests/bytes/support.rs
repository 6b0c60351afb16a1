//! A store in a folder of its own, and images made on the spot.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cirro_images::bytes::{ByteStore, BytesError, Digest, Fault, Format, Options, Stored, Terms};
use futures_util::TryStreamExt;
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const MIB: u64 = 1 << 20;

/// A store and the folder around it.
pub(crate) struct Site {
    pub(crate) store: ByteStore,
    folder: TempDir,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ByteStore::open_at(folder.path().join("store"), options).await.unwrap();
        Self { store, folder }
    }

    /// A path beside the store, for images before they are uploaded.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a qcow2 image of 64 MiB with some data in it and these further options; returns its bytes.
    pub(crate) fn qcow2(&self, options: &[&str]) -> Vec<u8> {
        let path = self.path("made.qcow2");
        let file = path.to_str().unwrap();
        run("qemu-img", &[&["create", "-q", "-f", "qcow2"], options, &[file, "64M"]].concat());
        run("qemu-io", &["-f", "qcow2", "-c", "write -q -P 7 1M 4M", file]);
        fs::read(&path).unwrap()
    }

    /// Uploads in pieces of 100,000 bytes, with the true size and digest declared.
    pub(crate) async fn upload(&self, format: Format, bytes: &[u8]) -> Result<Stored, BytesError> {
        let terms = Terms { format, limit: u64::MAX, size: Some(bytes.len() as u64) };
        self.upload_on(terms, bytes, Some(sha256(bytes))).await
    }

    pub(crate) async fn upload_on(
        &self,
        terms: Terms,
        bytes: &[u8],
        digest: Option<Digest>,
    ) -> Result<Stored, BytesError> {
        let mut upload = self.store.begin(Uuid::now_v7(), terms).await?;
        for piece in bytes.chunks(100_000) {
            upload.write(Bytes::copy_from_slice(piece)).await?;
        }
        upload.finish(digest).await
    }

    /// Uploads what must be refused; returns why, having checked that nothing is left and that the sentence helps.
    pub(crate) async fn refused(&self, format: Format, bytes: &[u8]) -> Fault {
        self.expect_refusal(self.upload(format, bytes).await)
    }

    pub(crate) fn expect_refusal(&self, outcome: Result<Stored, BytesError>) -> Fault {
        let error = outcome.expect_err("it was accepted");
        assert_eq!(self.left(), Vec::<PathBuf>::new(), "left behind after: {error}");
        let sentence = error.to_string();
        assert!(sentence.contains(&error.image.to_string()), "names no image: {sentence}");
        assert!(!sentence.contains(self.folder.path().to_str().unwrap()), "names our path: {sentence}");
        error.fault
    }

    /// Every file in the store.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let folders = ["objects", "partial"].map(|name| fs::read_dir(self.path("store").join(name)).unwrap());
        folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    /// Waits until the store is empty.
    pub(crate) fn wait_until_empty(&self) {
        wait_until("the store is empty", || self.left().is_empty());
    }

    pub(crate) async fn read(&self, image: Uuid, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
        let object = self.store.open(image, range).await.unwrap();
        let chunks: Vec<Bytes> = object.body.try_collect().await.unwrap();
        chunks.concat()
    }
}

/// The digest as `sha256sum` computes it: not with the code under test.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes");
    fs::write(&path, bytes).unwrap();
    let said = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
    String::from_utf8(said).unwrap().get(..64).unwrap().parse().unwrap()
}

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Looks until the condition holds, for at most ten seconds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "still not so: {what}");
        std::thread::yield_now();
    }
}

/// Puts big-endian bytes at an offset.
pub(crate) fn patch(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
