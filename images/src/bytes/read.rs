//! Handing out stored bytes in chunks, so that a download of any size needs the memory of one.

use std::{fmt, fs::File, io, ops::Range, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use uuid::Uuid;

use super::error::{BytesError, Fault};

/// Bytes per chunk: large enough that the hop to a blocking thread (some 20 µs) does not count beside reading it.
pub const CHUNK: usize = 256 * 1024;

/// The bytes of an image, opened: removing the image meanwhile does not disturb them.
pub struct Object {
    /// The size of the whole image, in bytes.
    pub size: u64,
    /// Which of its bytes `body` gives: `0..size` unless a range was asked for.
    pub range: Range<u64>,
    /// The bytes of `range` in order, at most [`CHUNK`] each, read as they are asked for. It ends after the first error.
    pub body: BoxStream<'static, Result<Bytes, BytesError>>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("size", &self.size).field("range", &self.range).finish_non_exhaustive()
    }
}

impl Object {
    /// Opens the file at `path`. Blocking.
    pub(super) fn open(image: Uuid, path: PathBuf, range: Option<Range<u64>>) -> Result<Self, BytesError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::NotStored.of(image),
            _ => BytesError::io(image, "open the image's bytes", error),
        })?;
        let size = file.metadata().map_err(|error| BytesError::io(image, "open the image's bytes", error))?.len();
        let range = range.unwrap_or(0..size);
        if range.start > range.end || range.end > size {
            return Err(Fault::BadRange { size }.of(image));
        }
        let reading = Reading { image, file: Arc::new(file), left: range.clone() };
        Ok(Self { size, range, body: stream::try_unfold(reading, Reading::next).boxed() })
    }
}

struct Reading {
    image: Uuid,
    file: Arc<File>,
    left: Range<u64>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BytesError> {
        // The range was checked to be in order, so this can't underflow.
        let length = usize::try_from(self.left.end - self.left.start).unwrap_or(CHUNK).min(CHUNK);
        if length == 0 {
            return Ok(None);
        }
        let (file, at) = (Arc::clone(&self.file), self.left.start);
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; length];
            file.read_exact_at(&mut chunk, at).map(|()| Bytes::from(chunk))
        });
        let chunk = read.await.map_err(|error| BytesError::lost(self.image, &error))?;
        let chunk = chunk.map_err(|error| BytesError::io(self.image, "read the image's bytes", error))?;
        self.left.start += chunk.len() as u64;
        Ok(Some((chunk, self)))
    }
}
