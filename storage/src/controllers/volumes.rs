//! Volumes: placed when they are accepted, gone when their node has removed the file.

use crate::{placement, records};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, Result, Verbs,
    identity::Project,
    storage::{
        Attachment, Volume,
        attachment::AttachmentFilter,
        volume::{NewVolume, VolumePatch, VolumeStatus},
    },
};
use cirro_server::{Controller, OwnerContext};

/// The operations on [`Volume`].
pub(crate) struct Volumes;

#[async_trait]
impl Controller<Volume> for Volumes {
    async fn create(&self, ctx: &Context, draft: Volume, _: NewVolume) -> Result<Created<Volume>> {
        if draft.size_gib.get() == 0 {
            return Err(Error::invalid("size_gib", "a volume has at least 1 GiB: give a larger size"));
        }
        let project = Project::get(ctx, draft.project_id).await?;
        ctx.write(move |tx| {
            records::charge(tx, &project, draft.size_gib)?;
            let pool = placement::place(tx, draft.size_gib)?;
            let mut volume = draft.clone();
            (volume.pool_id, volume.node_id) = (Some(pool.id), Some(pool.node_id));
            tx.insert(&volume).map(|()| volume.into())
        })
        .await
    }

    async fn update(
        &self,
        ctx: &Context,
        current: Volume,
        patch: VolumePatch,
        version: Option<Generation>,
    ) -> Result<Volume> {
        let id = current.id;
        ctx.write(move |tx| {
            let stored: Volume = tx.get(id)?;
            if stored.meta.deleted_at.is_some() {
                return Err(Error::conflict(format!(
                    "volume {} ({id}) is being deleted and can't be changed: create a new one",
                    stored.name
                )));
            }
            tx.patch(id, patch.clone(), version)
        })
        .await
    }

    async fn delete(&self, ctx: &Context, current: Volume) -> Result<Deleted<Volume>> {
        let id = current.id;
        ctx.write(move |tx| {
            let stored: Volume = tx.get(id)?;
            if stored.protected && stored.meta.deleted_at.is_none() {
                return Err(Error::conflict(format!(
                    "volume {0} ({id}) is protected: lift that first if this is meant (`cirro volume update {0} --no-protect`)",
                    stored.name
                )));
            }
            // first the row: from here on an attachment at this moment loses on its version, and one before it is seen
            let deleting = tx.begin_delete::<Volume>(id, |volume| {
                (volume.status, volume.status_reason) = (VolumeStatus::Deleting, None);
            })?;
            let of_volume = AttachmentFilter { volume_id: Some(id), ..AttachmentFilter::default() };
            match tx.list::<Attachment>(&of_volume, 1)?.pop() {
                Some(attachment) => Err(held(&current, &attachment)),
                None => Ok(Deleted::Begun(deleting)),
            }
        })
        .await
    }
}

fn held(volume: &Volume, attachment: &Attachment) -> Error {
    let (name, id, instance) = (&volume.name, volume.id, attachment.instance_id);
    Error::conflict(match attachment.meta.deleted_at {
        None => format!("volume {name} ({id}) is attached to instance {instance}: detach it first, then delete it"),
        Some(_) => format!(
            "volume {name} ({id}) is still being detached from instance {instance}: delete it when its node has confirmed that"
        ),
    })
}
