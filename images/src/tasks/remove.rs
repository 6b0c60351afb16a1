//! Removing an image that is marked as being deleted: its bytes first, then its row with what it has of the quota.

use crate::transfer::{Lease, Transfers, refusal, with_time};
use async_trait::async_trait;
use cirro_models::{Context, Id, Result, images::MachineImage};
use cirro_server::{Job, OwnerContext, Tx, queue::Taken};
use serde::{Deserialize, Serialize};

/// Removes what is left of a marked image. Enqueued as the image's own id: there is one for each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RemoveImage {
    image_id: Id<MachineImage>,
}

impl RemoveImage {
    /// Has the image removed, once this is committed.
    pub(crate) fn enqueue(tx: &mut Tx<'_>, image_id: Id<MachineImage>) -> Result<bool> {
        tx.enqueue_as(image_id.uuid(), &Self { image_id })
    }
}

#[async_trait]
impl Job for RemoveImage {
    const KIND: &'static str = "remove-image";

    /// The bytes can be removed twice; the row and its quota go with the job.
    async fn run(self, ctx: &Context, taken: &Taken) -> Result<()> {
        let (id, taken) = (self.image_id, taken.clone());
        let transfers = ctx.stores().part::<Transfers>()?;
        transfers.store.remove(id.uuid()).await.map_err(|error| refusal(&error))?;
        let ctx = with_time(ctx);
        let removed = ctx.write(move |tx| {
            taken.finish(tx)?;
            let Some(image) = tx.find::<MachineImage>(id)? else { return Ok(()) };
            Lease::end_any(tx, id)?;
            // its virtual size is known from the moment that its bytes count
            if let (Some(size), Some(_)) = (image.size_bytes, image.virtual_bytes) {
                tx.refund(image.project_id, crate::transfer::RESOURCE, size.get())?;
            }
            tx.remove(&image)
        });
        removed.await
    }
}
