//! Instances: accepted in one transaction with their place, their quota and their claim.

use crate::{
    controllers::PLACEMENT,
    records::{self, Launch},
    schedule::{self, Need},
    states,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, Id, Page, Result, Verbs,
    compute::{
        Flavor, Instance, SshKey,
        assignment::ImageSpec,
        instance::{InstancePatch, InstanceStatus, NewInstance, Power},
    },
    identity::Project,
    images::MachineImage,
    storage::{Attachment, attachment::AttachmentFilter},
};
use cirro_server::{Controller, OwnerContext, Tx};
use futures_util::{TryFutureExt, try_join};

pub(crate) struct Instances;

#[async_trait]
impl Controller<Instance> for Instances {
    async fn create(&self, ctx: &Context, mut draft: Instance, new: NewInstance) -> Result<Created<Instance>> {
        let keys = draft.ssh_key_ids.clone().unwrap_or_default();
        let (image, flavor, project, ssh_keys) = try_join!(
            MachineImage::get(ctx, draft.image_id).map_err(|error| named("image_id", error)),
            Flavor::get(ctx, draft.flavor_id).map_err(|error| named("flavor_id", error)),
            Project::get(ctx, draft.project_id),
            ssh_keys(ctx, &draft, &keys),
        )?;
        let image = usable(&image, &draft, &flavor)?;
        (draft.vcpus, draft.memory_mib, draft.disk_gib) = (flavor.vcpus, flavor.memory_mib, flavor.disk_gib);
        draft.status_deadline = states::deadline(&draft.status);
        let need = Need { vcpus: flavor.vcpus, memory_mib: flavor.memory_mib, disk_gib: flavor.disk_gib };
        let launch = Launch { image, ssh_keys, user_data: new.user_data };
        ctx.write(move |tx| accept(tx, &project, draft.clone(), &need, &launch)).await.map(Into::into)
    }

    async fn update(
        &self,
        ctx: &Context,
        current: Instance,
        patch: InstancePatch,
        version: Option<Generation>,
    ) -> Result<Instance> {
        let id = current.id;
        let write = move |tx: &mut Tx<'_>| {
            let before: Instance = tx.get(id)?;
            tx.patch_then(id, patch.clone(), version, |instance, applied| {
                instance.require_live()?;
                // a wish that is there already, but did not come true, is a new one when it is uttered again
                let again = !applied.desire && asks_again(&before, instance, patch.power.is_some());
                if again {
                    instance.generation = instance.generation.next();
                }
                if applied.desire || again {
                    instance.status = states::wished(&instance.status, &instance.power);
                    instance.status_deadline = states::deadline(&instance.status);
                    instance.status_reason = None;
                }
                Ok(())
            })
        };
        ctx.write(write).await
    }

    /// Delete wins in any state. The name and the quota are free at once; the claim on the node stays until the node
    /// has confirmed.
    async fn delete(&self, ctx: &Context, current: Instance) -> Result<Deleted<Instance>> {
        release_volumes(ctx, &current).await?;
        let epoch = ctx.database()?.feed().epoch();
        let id = current.id;
        ctx.write(move |tx| {
            // one deletion after the other: two that read the same row would both give its quota back
            tx.exclusive(PLACEMENT)?;
            let instance: Instance = tx.get(id)?;
            if let (Some(_), Some(node)) = (instance.meta.deleted_at, instance.node_id) {
                // asked again: an order of an earlier epoch, which no node follows, becomes one of this
                records::add_tombstone(tx.connection(), id, node, instance.generation, epoch)?;
                return Ok(Deleted::Begun(instance));
            }
            refund(tx, &instance)?;
            let Some(node) = instance.node_id else {
                records::forget(tx.connection(), id)?;
                return tx.remove(&instance).map(|()| Deleted::Gone);
            };
            let deleting = tx.begin_delete::<Instance>(id, |instance| {
                instance.generation = instance.generation.next();
                instance.status = InstanceStatus::Deleting;
                instance.status_deadline = states::deadline(&InstanceStatus::Deleting);
                instance.status_reason = None;
            })?;
            records::add_tombstone(tx.connection(), id, node, deleting.generation, epoch)?;
            Ok(Deleted::Begun(deleting))
        })
        .await
    }
}

/// Whether the same wish is to be tried again: after it has failed, or by force where the guest does not stop.
fn asks_again(before: &Instance, now: &Instance, power_named: bool) -> bool {
    let force = now.force_stop == Some(true) && before.force_stop != Some(true);
    let forced = force && now.power == Power::Stopped && before.status != InstanceStatus::Stopped;
    forced || (power_named && before.status == InstanceStatus::Failed)
}

/// A missing reference is a value that can't be used, named by its field.
fn named(field: &'static str, error: Error) -> Error {
    if error.is_not_found() { Error::invalid(field, error.to_string()) } else { error }
}

/// The lines of the keys, which must all be the project's.
async fn ssh_keys(ctx: &Context, draft: &Instance, ids: &[Id<SshKey>]) -> Result<Vec<String>> {
    let keys = SshKey::get_many(ctx, ids).await?;
    let missing = ids.iter().find(|id| !keys.iter().any(|key| key.id == **id && key.project_id == draft.project_id));
    match missing {
        Some(id) => {
            Err(Error::invalid("ssh_key_ids", format!("the project has no SSH key {id}: see `cirro sshkey list`")))
        }
        None => Ok(keys.into_iter().map(|key| key.public_key).collect()),
    }
}

/// The image as its node needs it, if this project may use it and it fits.
fn usable(image: &MachineImage, draft: &Instance, flavor: &Flavor) -> Result<ImageSpec> {
    if image.project_id != draft.project_id && !image.public {
        return Err(Error::invalid(
            "image_id",
            format!("image {} belongs to another project: use an own or a public one", image.name),
        ));
    }
    image.require_ready()?;
    let (Some(sha256), Some(size_bytes), Some(virtual_bytes)) =
        (image.sha256.clone(), image.size_bytes, image.virtual_bytes)
    else {
        return Err(Error::conflict(format!("image {} lacks its digest or size: upload it again", image.name)));
    };
    if virtual_bytes.get().unsigned_abs() > flavor.disk_gib.bytes() {
        return Err(Error::invalid(
            "flavor_id",
            format!(
                "image {} needs a disk of {virtual_bytes}, and flavor {} has {}: use a larger flavor",
                image.name, flavor.name, flavor.disk_gib
            ),
        ));
    }
    Ok(ImageSpec { id: image.id, sha256, format: image.format.clone(), size_bytes })
}

/// Takes the quota, the place and the claim, and adds the row: all or nothing.
fn accept(tx: &mut Tx<'_>, project: &Project, mut draft: Instance, need: &Need, launch: &Launch) -> Result<Instance> {
    tx.exclusive(PLACEMENT)?;
    tx.charge(project.id, "instances", 1, project.max_instances.get())?;
    tx.charge(project.id, "vcpus", need.vcpus.get(), project.max_vcpus.get())?;
    tx.charge(project.id, "memory_mib", need.memory_mib.get(), project.max_memory_mib.get())?;
    let nodes = records::candidates(tx)?;
    let node = schedule::place(need, &nodes)?;
    draft.node_id = Some(node);
    tx.insert(&draft)?;
    records::add_claim(tx.connection(), draft.id, node, need)?;
    records::set_launch(tx.connection(), draft.id, launch)?;
    Ok(draft)
}

pub(crate) fn refund(tx: &mut Tx<'_>, instance: &Instance) -> Result<()> {
    tx.refund(instance.project_id, "instances", 1)?;
    tx.refund(instance.project_id, "vcpus", instance.vcpus.get())?;
    tx.refund(instance.project_id, "memory_mib", instance.memory_mib.get())
}

/// Ends the attachments of an instance that goes: storage frees each volume when the node has confirmed.
async fn release_volumes(ctx: &Context, instance: &Instance) -> Result<()> {
    let filter = AttachmentFilter { instance_id: Some(instance.id), ..AttachmentFilter::default() };
    let attachments = Attachment::list(ctx, &filter, &Page::first(Page::MAX)).await?.items;
    for attachment in attachments.iter().filter(|attachment| attachment.meta.deleted_at.is_none()) {
        match Attachment::delete(ctx, attachment.id).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
