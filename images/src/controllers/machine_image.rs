//! Images: announced here, filled by an upload, removed with their bytes.

use crate::{bytes::Digest, tasks::RemoveImage, transfer::Lease};
use async_trait::async_trait;
use cirro_models::{
    Bytes, Context, Created, Deleted, Error, Generation, Result,
    images::{
        MachineImage,
        machine_image::{ImageStatus, MachineImagePatch, NewMachineImage},
    },
};
use cirro_server::{Controller, OwnerContext};

/// The operations on [`MachineImage`].
pub(crate) struct MachineImages;

#[async_trait]
impl Controller<MachineImage> for MachineImages {
    async fn create(
        &self,
        ctx: &Context,
        mut draft: MachineImage,
        _: NewMachineImage,
    ) -> Result<Created<MachineImage>> {
        require_may_publish(ctx, draft.public)?;
        if draft.size_bytes == Some(Bytes::new(0)) {
            return Err(Error::invalid(
                "size_bytes",
                "an image has at least one byte: give its exact size, or leave it out",
            ));
        }
        if let Some(announced) = &draft.sha256 {
            let digest: Digest = announced.parse().map_err(|error| Error::invalid("sha256", format!("{error}")))?;
            draft.sha256 = Some(digest.to_string());
        }
        ctx.write(move |tx| tx.insert(&draft).map(|()| draft.clone())).await.map(Into::into)
    }

    async fn update(
        &self,
        ctx: &Context,
        current: MachineImage,
        patch: MachineImagePatch,
        version: Option<Generation>,
    ) -> Result<MachineImage> {
        require_may_publish(ctx, patch.public.is_some_and(|public| public != current.public))?;
        let id = current.id;
        ctx.write(move |tx| {
            let stored = tx.get(id)?;
            require_kept(&stored)?;
            tx.patch(id, patch.clone(), version)
        })
        .await
    }

    /// The row is marked, and its bytes are removed by a worker.
    async fn delete(&self, ctx: &Context, current: MachineImage) -> Result<Deleted<MachineImage>> {
        let id = current.id;
        let begun = ctx.write(move |tx| {
            // an upload under way ends here, and what it set aside is free at once
            Lease::end_any(tx, id)?;
            RemoveImage::enqueue(tx, id)?;
            tx.begin_delete(id, |image| image.status = ImageStatus::Deleting)
        });
        begun.await.map(Deleted::Begun)
    }
}

/// Only an Operator makes an image public, or private again.
fn require_may_publish(ctx: &Context, asked: bool) -> Result<()> {
    if asked && !ctx.subject().is_operator() && !ctx.subject().is_service() {
        return Err(Error::forbidden(
            "only an operator of the site says whether an image is public: leave `public` out, or ask one",
        ));
    }
    Ok(())
}

/// Refuses changes to an image that is going away.
fn require_kept(image: &MachineImage) -> Result<()> {
    match image.meta.deleted_at {
        None => Ok(()),
        Some(_) => Err(Error::conflict(format!(
            "image {} ({}) is being deleted and can't be changed: create a new one",
            image.name, image.id
        ))),
    }
}
