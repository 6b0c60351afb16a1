//! One upload, from its lease to a ready image, or back to where it began.

use super::{Lease, Transfers, refusal, with_time};
use crate::bytes::{Digest, Format, Stored, Terms};
use bytes::Bytes;
use cirro_models::{
    Context, Error, Model, Result, Verbs,
    images::{
        MachineImage,
        machine_image::{ImageFormat, ImageStatus},
    },
};
use cirro_server::{OwnerContext, db::RequestNote};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// How often an upload renews its lease.
pub(super) const RENEWAL: Duration = Duration::from_secs(30);

/// What an upload is about.
pub(crate) struct Order {
    pub(crate) ctx: Context,
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) image: MachineImage,
    /// How many bytes will come.
    pub(crate) size: i64,
    /// What they hash to, if the uploader says.
    pub(crate) digest: Option<Digest>,
    /// What all images of the project may have, in bytes.
    pub(crate) limit: i64,
    /// The right to be one of the uploads that run at once.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What arrives. A sender that goes away without a last word broke off.
pub(crate) enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// There were no more.
    End,
    /// For this long there were none.
    Silence(Duration),
}

/// Takes the bytes and makes the image ready. To be spawned: it puts everything back itself when the client goes away.
pub(crate) async fn receive(order: Order, pieces: mpsc::Receiver<Piece>) -> Result<MachineImage> {
    let (id, size, limit) = (order.image.id, order.size, order.limit);
    let service = order.ctx.as_service()?;
    let process = service.stores().part::<Transfers>()?.process;
    let lease = with_time(&service).write(move |tx| Lease::take(tx, id, size, limit, process)).await?;
    let stored = tokio::select! {
        stored = store(&order, pieces) => stored,
        lost = renew(&service, lease) => Err(lost),
    };
    let outcome = match stored {
        Ok(stored) => finish(&order, lease, stored).await,
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // if this fails, the lease ends by itself
        let released = with_time(&service).write(move |tx| lease.release(tx)).await;
        if let Err(error) = released {
            tracing::info!(image = %id, %error, "the lease of an ended upload stays until it runs out");
        }
    }
    drop(order.permit);
    outcome
}

/// Receives, judges and keeps the bytes.
async fn store(order: &Order, mut pieces: mpsc::Receiver<Piece>) -> Result<Stored> {
    let (store, image) = (&order.transfers.store, order.image.id);
    let size = order.size.unsigned_abs();
    let format = format(&order.image.format)?;
    // what a process left that died before its transaction: nobody else can be at it while we hold the lease
    store.remove(image.uuid()).await.map_err(|error| refusal(&error))?;
    let terms = Terms { format, limit: u64::MAX, size: Some(size) };
    let mut upload = store.begin(image.uuid(), terms).await.map_err(|error| refusal(&error))?;
    loop {
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => upload.write(bytes).await.map_err(|error| refusal(&error))?,
            Some(Piece::End) => return upload.finish(order.digest).await.map_err(|error| refusal(&error)),
            Some(Piece::Silence(idle)) => {
                let received = upload.received();
                upload.abort().await;
                return Err(Error::DeadlineExceeded {
                    detail: format!(
                        "nothing of image {image} came for {} s after {received} bytes, so the upload was ended and nothing was kept: upload it again",
                        idle.as_secs_f32()
                    ),
                });
            }
            None => return Err(refusal(&upload.abort().await)),
        }
    }
}

/// Ends only when the lease is lost.
async fn renew(service: &Context, lease: Lease) -> Error {
    let mut ticks = tokio::time::interval(RENEWAL);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match with_time(service).write(move |tx| lease.renew(tx)).await {
            Err(lost @ Error::Conflict { .. }) => return lost,
            Err(error) => {
                tracing::info!(image = %lease.image, %error, "an upload's lease could not be renewed just now");
            }
            Ok(()) => {}
        }
    }
}

/// Makes the image ready: rows, quota, feed and audit in one transaction, after the bytes are durable.
async fn finish(order: &Order, lease: Lease, stored: Stored) -> Result<MachineImage> {
    let id = order.image.id;
    let digest = stored.sha256.to_string();
    let note = RequestNote::new(&order.ctx, "update", MachineImage::PATH, &format!("{id}/bytes"), digest.as_bytes());
    let ctx = with_time(&order.ctx).answering(Arc::new(note));
    let (size, virtual_size) = (bytes(stored.size), bytes(stored.virtual_size));
    let made_ready = ctx.write(move |tx| {
        lease.spend(tx)?;
        let image: MachineImage = tx.get(id)?;
        super::lease::require_awaiting(&image)?;
        tx.change_from(&image, |image| {
            image.status = ImageStatus::Ready;
            image.size_bytes = Some(size);
            image.virtual_bytes = Some(virtual_size);
            image.sha256 = Some(digest.clone());
        })
    });
    match made_ready.await {
        Ok(image) => Ok(image),
        Err(error) => put_back(order, error).await,
    }
}

/// The bytes are there and the transaction failed, as far as we were told: looks before removing anything.
async fn put_back(order: &Order, error: Error) -> Result<MachineImage> {
    let id = order.image.id;
    match MachineImage::get(&with_time(&order.ctx.as_service()?), id).await {
        Ok(image) if image.status == ImageStatus::Ready => return Ok(image),
        Ok(_) | Err(Error::NotFound { .. }) => {
            if let Err(error) = order.transfers.store.remove(id.uuid()).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "bytes without an image stay until they are swept"
                );
            }
        }
        // if the image is ready after all, it needs them; if not, they are swept
        Err(unknown) => {
            tracing::info!(image = %id, error = %unknown, "an upload's outcome is not known; its bytes stay");
        }
    }
    Err(error)
}

fn format(announced: &ImageFormat) -> Result<Format> {
    match announced {
        ImageFormat::Qcow2 => Ok(Format::Qcow2),
        ImageFormat::Raw => Ok(Format::Raw),
        ImageFormat::Unknown(word) => Err(Error::invalid(
            "format",
            format!("this release does not know {word}: announce the image as qcow2 or raw"),
        )),
    }
}

fn bytes(size: u64) -> cirro_models::Bytes {
    cirro_models::Bytes::new(i64::try_from(size).unwrap_or(i64::MAX))
}
