//! Receiving the bytes of one image.
//!
//! Bytes gather in a buffer; a full one goes to a blocking thread, which hashes and writes it while the next one fills.
//! The partial file belongs to whoever works on it at the moment (the `Upload`, or the blocking step), and removes itself
//! when dropped: an error, a dropped `Upload` and a cancelled request all end the same way, with nothing left.

use std::{mem, sync::Arc};

use bytes::Bytes;
use tokio::{runtime::Handle, task::JoinHandle};
use uuid::Uuid;

use super::{
    digest::Digest,
    error::{BytesError, Fault},
    format::Format,
    partial::Partial,
    store::{Inner, blocking},
};

/// Bytes of a buffer; an upload has two of them.
pub const BUFFER: usize = 512 * 1024;

/// What is agreed before the first byte.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The format that the uploader declares.
    pub format: Format,
    /// The most bytes that are accepted (what the project's quota has left).
    pub limit: u64,
    /// The size in bytes that the uploader declares, if it does.
    pub size: Option<u64>,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Whose bytes they are.
    pub image: Uuid,
    /// How many.
    pub size: u64,
    /// The size in bytes of the disk that a guest sees.
    pub virtual_size: u64,
    /// The format, verified.
    pub format: Format,
    /// The digest of the bytes.
    pub sha256: Digest,
}

/// An upload under way. Its first error ends it and has removed what was received; so does dropping it, a moment later.
#[derive(Debug)]
pub struct Upload {
    store: Arc<Inner>,
    image: Uuid,
    terms: Terms,
    received: u64,
    buffer: Vec<u8>,
    writer: Writer,
}

/// What a blocking step gives back.
type Step = Result<(Box<Partial>, Vec<u8>), BytesError>;

/// Who has the partial file.
#[derive(Debug)]
enum Writer {
    /// We.
    Idle(Box<Partial>),
    /// A blocking step, which gives it back with its emptied buffer.
    Busy(JoinHandle<Step>),
    /// Nobody: the upload has ended.
    Ended,
}

impl Upload {
    pub(super) async fn begin(store: Arc<Inner>, image: Uuid, terms: Terms) -> Result<Self, BytesError> {
        let size = terms.size.unwrap_or(0);
        if size > terms.limit {
            return Err(Fault::TooLarge { limit: terms.limit }.of(image));
        }
        let partial = {
            let store = Arc::clone(&store);
            blocking(image, move || {
                store.require_room(image, size)?;
                Partial::create(store, image, terms.format).map(Box::new)
            })
            .await?
        };
        Ok(Self { store, image, terms, received: 0, buffer: Vec::new(), writer: Writer::Idle(partial) })
    }

    /// Whose bytes these are.
    pub fn image(&self) -> Uuid {
        self.image
    }

    /// How many bytes have arrived.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next bytes, waiting while the disk is behind. A call that was cancelled spoils the upload.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] and [`Fault::SizeMismatch`] as soon as they are certain; what the image's first bytes gave
    /// away; [`Fault::NoSpace`]. After an error, [`Fault::Broken`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BytesError> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > self.terms.limit {
            return Err(self.refuse(Fault::TooLarge { limit: self.terms.limit }).await);
        }
        if let Some(declared) = self.terms.size.filter(|&declared| self.received > declared) {
            return Err(self.refuse(Fault::SizeMismatch { declared, received: self.received }).await);
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            if self.buffer.len() >= BUFFER {
                self.flush().await?;
            }
            let (now, later) = rest.split_at(rest.len().min(BUFFER - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    /// Ends the upload: verifies size, digest and content, and stores the image durably.
    ///
    /// # Errors
    /// Every [`Fault`] of an image's content; [`Fault::Broken`] when a `write` failed or was cancelled. Nothing is left
    /// then.
    pub async fn finish(mut self, expected: Option<Digest>) -> Result<Stored, BytesError> {
        if let Some(declared) = self.terms.size.filter(|&declared| self.received != declared) {
            return Err(self.refuse(Fault::SizeMismatch { declared, received: self.received }).await);
        }
        self.flush().await?;
        let partial = self.partial().await?;
        if partial.size() != self.received {
            // A cancelled `write` took its bytes with it, and the caller went on regardless.
            return Err(remove(partial, self.broken()).await);
        }
        let judged = blocking(self.image, move || partial.judge(expected)).await?;
        // Ours again while the tool looks, so that a cancelled request removes it.
        self.writer = Writer::Idle(judged.partial);
        if let Some(files) = judged.for_tool
            && let Err(fault) = self.store.inspector.inspect(files, judged.stored.virtual_size).await
        {
            return Err(self.refuse(fault).await);
        }
        let partial = self.partial().await?;
        let placed = blocking(self.image, move || partial.place(judged.stored)).await?;
        // Nothing can be cancelled between here and the caller.
        Ok(placed.keep())
    }

    /// Ends an upload whose source broke; returns the error to answer. Nothing is left.
    pub async fn abort(mut self) -> BytesError {
        let received = self.received;
        self.refuse(Fault::Broken { received }).await
    }

    /// Hands the full buffer to a blocking thread, after the one before it is done.
    async fn flush(&mut self) -> Result<(), BytesError> {
        let spare = self.settle().await?;
        let Writer::Idle(mut partial) = mem::replace(&mut self.writer, Writer::Ended) else {
            return Err(self.broken());
        };
        let mut full = mem::replace(&mut self.buffer, spare);
        self.writer = Writer::Busy(tokio::task::spawn_blocking(move || {
            partial.append(&full)?;
            full.clear();
            Ok((partial, full))
        }));
        Ok(())
    }

    /// Waits until no blocking step has the partial file; returns an empty buffer. Cancelling it loses nothing.
    async fn settle(&mut self) -> Result<Vec<u8>, BytesError> {
        let Writer::Busy(step) = &mut self.writer else { return Ok(Vec::new()) };
        let done = step.await;
        self.writer = Writer::Ended;
        let (partial, spare) = done.map_err(|error| BytesError::lost(self.image, &error))??;
        self.writer = Writer::Idle(partial);
        Ok(spare)
    }

    /// Takes the partial file, complete.
    async fn partial(&mut self) -> Result<Box<Partial>, BytesError> {
        self.settle().await?;
        match mem::replace(&mut self.writer, Writer::Ended) {
            Writer::Idle(partial) => Ok(partial),
            _ => Err(self.broken()),
        }
    }

    /// Ends the upload for this reason, and returns when its file is gone.
    async fn refuse(&mut self, fault: Fault) -> BytesError {
        let error = fault.of(self.image);
        match self.partial().await {
            Ok(partial) => remove(partial, error).await,
            // It is gone already.
            Err(_) => error,
        }
    }

    fn broken(&self) -> BytesError {
        Fault::Broken { received: self.received }.of(self.image)
    }
}

/// Removes a partial file and returns the reason, or what went wrong with removing it.
async fn remove(partial: Box<Partial>, reason: BytesError) -> BytesError {
    let removed = blocking(reason.image, move || {
        drop(partial);
        Ok(())
    });
    removed.await.err().unwrap_or(reason)
}

impl Drop for Upload {
    /// Removing a large file takes its time, so it does not happen on this thread if there is another.
    fn drop(&mut self) {
        if let (Writer::Idle(partial), Ok(runtime)) =
            (mem::replace(&mut self.writer, Writer::Ended), Handle::try_current())
        {
            drop(runtime.spawn_blocking(move || drop(partial)));
        }
    }
}
