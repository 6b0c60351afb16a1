//! Removing an image that is marked as being deleted: its bytes first, then its row with what it has of the quota.

use crate::transfer::{Lease, Transfers, with_time};
use cirro_models::{Context, Id, Result, images::MachineImage};
use cirro_server::OwnerContext;

/// Removes what is left of a marked image. Can be repeated, and stops anywhere without harm.
pub(crate) async fn remove(ctx: &Context, transfers: &Transfers, id: Id<MachineImage>) -> Result<()> {
    transfers.store.remove(id.uuid()).await.map_err(|error| crate::transfer::refusal(&error))?;
    let ctx = with_time(ctx);
    let removed = ctx.write(move |tx| {
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
