//! Attachments: a lease with two sides. Taken in one transaction with the volume's status, ended by the node's word.

use super::named;
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Result, Verbs,
    compute::{Instance, instance::InstanceStatus},
    storage::{
        Attachment, Volume,
        attachment::{AttachmentFilter, AttachmentStatus, NewAttachment},
        volume::VolumeStatus,
    },
};
use cirro_server::{Controller, OwnerContext, Tx};

/// The operations on [`Attachment`].
pub(crate) struct Attachments;

#[async_trait]
impl Controller<Attachment> for Attachments {
    async fn create(&self, ctx: &Context, mut draft: Attachment, _: NewAttachment) -> Result<Created<Attachment>> {
        let (volume, instance) = tokio::join!(Volume::get(ctx, draft.volume_id), Instance::get(ctx, draft.instance_id));
        let volume = volume.map_err(|error| named("volume_id", error))?;
        let instance = instance.map_err(|error| named("instance_id", error))?;
        require_together(&draft, &volume, &instance)?;
        draft.node_id = volume.node_id;
        ctx.write(move |tx| {
            let volume: Volume = tx.get(draft.volume_id)?;
            require_free(tx, &volume)?;
            // whoever attaches or deletes it at the same moment loses on the volume's version, and is told on the next run
            tx.change_from(&volume, |volume| volume.status = VolumeStatus::Attached)?;
            tx.insert(&draft).map(|()| draft.clone().into())
        })
        .await
    }

    async fn delete(&self, ctx: &Context, current: Attachment) -> Result<Deleted<Attachment>> {
        let id = current.id;
        ctx.write(move |tx| begin_detach(tx, id, None).map(Deleted::Begun)).await
    }
}

/// Tells the node to take the disk away; the row goes when it has confirmed that.
pub(crate) fn begin_detach(
    tx: &mut Tx<'_>,
    id: cirro_models::Id<Attachment>,
    reason: Option<&str>,
) -> Result<Attachment> {
    tx.begin_delete::<Attachment>(id, |attachment| {
        if attachment.status != AttachmentStatus::Detaching {
            attachment.status = AttachmentStatus::Detaching;
            attachment.status_reason = reason.map(ToOwned::to_owned);
        }
    })
}

/// Refuses what can't come together: other projects' things, instances that go away, disks of another machine.
fn require_together(draft: &Attachment, volume: &Volume, instance: &Instance) -> Result<()> {
    let elsewhere = |field: &str, kind: &str| {
        Error::invalid(
            field,
            format!("this {kind} belongs to another project than the one you work in: log in with its project"),
        )
    };
    if volume.project_id != draft.project_id {
        return Err(elsewhere("volume_id", "volume"));
    }
    if instance.project_id != draft.project_id {
        return Err(elsewhere("instance_id", "instance"));
    }
    instance.require_live()?;
    let (name, id) = (&instance.name, instance.id);
    if instance.status == InstanceStatus::Unclaimed {
        return Err(Error::conflict(format!("instance {name} ({id}) is unclaimed: adopt it first")));
    }
    match instance.node_id {
        None => Err(Error::conflict(format!(
            "instance {name} ({id}) has no node yet: attach the volume when it has been placed"
        ))),
        node if node == volume.node_id => Ok(()),
        Some(_) => Err(Error::conflict(format!(
            "volume {} ({}) lies in a directory of another machine than the one that instance {name} ({id}) runs on, and such volumes do not travel: create a volume or an instance where the other is",
            volume.name, volume.id
        ))),
    }
}

/// Refuses a volume that is not there yet, goes away, or that somebody has.
fn require_free(tx: &mut Tx<'_>, volume: &Volume) -> Result<()> {
    let (name, id) = (&volume.name, volume.id);
    if volume.meta.deleted_at.is_some() {
        return Err(Error::conflict(format!("volume {name} ({id}) is being deleted: attach another one")));
    }
    let of_volume = AttachmentFilter { volume_id: Some(id), ..AttachmentFilter::default() };
    if let Some(other) = tx.list::<Attachment>(&of_volume, 1)?.pop() {
        let instance = other.instance_id;
        return Err(Error::conflict(match other.meta.deleted_at {
            None => format!("volume {name} ({id}) is attached to instance {instance}: detach it there first"),
            Some(_) => format!(
                "volume {name} ({id}) is still being detached from instance {instance}: attach it when its node has confirmed that"
            ),
        }));
    }
    match &volume.status {
        VolumeStatus::Available => Ok(()),
        VolumeStatus::Failed => Err(Error::conflict(format!(
            "volume {name} ({id}) has failed ({}): delete it and create another one",
            volume.status_reason.as_deref().unwrap_or("its node gave no reason")
        ))),
        status => Err(Error::conflict(format!("volume {name} ({id}) is {status}: attach it when it is available"))),
    }
}
