//! Instances: accepted in one transaction with their place, their quota and their claim.

use crate::{
    launch::{self, PLACEMENT, elsewhere, references},
    rebuild::Rebuild,
    records,
    resize::Resize,
    states,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Generation, Page, Result, Verbs,
    compute::{
        ConsoleLog, Instance, InstanceAction,
        console_log::ConsoleLogFilter,
        instance::{InstancePatch, InstanceStatus, NewInstance, Power},
        instance_action::InstanceActionFilter,
        launch_group::Template,
    },
    storage::{Attachment, attachment::AttachmentFilter},
};
use cirro_server::{Controller, OwnerContext, Tx};

/// More than anybody asks of one instance in its life.
const ASKED: i64 = 100_000;

pub(crate) struct Instances;

#[async_trait]
impl Controller<Instance> for Instances {
    async fn create(&self, ctx: &Context, draft: Instance, new: NewInstance) -> Result<Created<Instance>> {
        let template = Template {
            flavor_id: draft.flavor_id,
            image_id: draft.image_id,
            ssh_key_ids: draft.ssh_key_ids.clone().unwrap_or_default(),
            on_node_loss: None,
        };
        let referenced = references::fetch(ctx, draft.project_id, vec![template], new.user_data).await?;
        ctx.write(move |tx| launch::accept_one(tx, draft.clone(), &referenced)).await.map(Into::into)
    }

    async fn update(
        &self,
        ctx: &Context,
        current: Instance,
        patch: InstancePatch,
        version: Option<Generation>,
    ) -> Result<Instance> {
        let id = current.id;
        let resize = Resize::fetch(ctx, &current, patch.flavor_id).await?;
        let rebuild = Rebuild::fetch(ctx, &current, &patch).await?;
        let write = move |tx: &mut Tx<'_>| {
            if let Some(name) = &patch.name {
                launch::require_not_to_come(tx, current.project_id, name.as_str())?;
            }
            if resize.is_some() {
                Resize::begin(tx)?;
            }
            let before: Instance = tx.get(id)?;
            let resize = match (&resize, patch.flavor_id.filter(|to| *to != before.flavor_id)) {
                (_, None) => None,
                (Some(resize), Some(_)) => Some(resize),
                (None, Some(_)) => return Err(changed_meanwhile(&before)),
            };
            if let Some(resize) = resize {
                before.require_live()?;
                resize.take(tx, &before)?;
            }
            match &rebuild {
                Some(rebuild) => rebuild.take(tx, &before, &patch)?,
                None if patch.image_id.is_some_and(|image| image != before.image_id) => {
                    return Err(changed_meanwhile(&before));
                }
                None => {}
            }
            tx.patch_then(id, patch.clone(), version, |instance, applied| {
                instance.require_live()?;
                if (applied.changed || rebuild.is_some()) && instance.plan_id.is_some() {
                    instance.touched = Some(true);
                }
                if let Some(resize) = resize {
                    resize.apply(instance);
                }
                // a wish that is there already, but did not come true, is a new one when it is uttered again
                let again = asks_again(&before, instance, patch.power.is_some()) || rebuild.is_some();
                let again = again && !applied.desire;
                if again || applied.desire {
                    elsewhere::ask_again(instance);
                }
                if again {
                    instance.generation = instance.generation.next();
                }
                if applied.desire || again {
                    instance.status = states::wished(&instance.status, &instance.power);
                    instance.status_deadline = states::deadline(&instance.status);
                    instance.status_reason = None;
                }
                if rebuild.is_some() {
                    Rebuild::apply(instance);
                }
                Ok(())
            })
        };
        ctx.write(write).await
    }

    /// Delete wins in any state, but not over a protection. The name and the quota are free at once; the claim on the
    /// node stays until the node has confirmed.
    async fn delete(&self, ctx: &Context, current: Instance) -> Result<Deleted<Instance>> {
        if current.meta.deleted_at.is_none() {
            current.require_unprotected()?;
        }
        release_volumes(ctx, &current).await?;
        let epoch = ctx.database()?.feed().epoch();
        let id = current.id;
        ctx.write(move |tx| {
            // one deletion after the other: two that read the same row would both give its quota back
            tx.exclusive(PLACEMENT)?;
            let instance: Instance = tx.get(id)?;
            if let (Some(_), Some(node)) = (instance.meta.deleted_at, instance.node_id.or(instance.leaving_node_id)) {
                // asked again: an order of an earlier epoch, which no node follows, becomes one of this
                records::add_tombstone(tx.connection(), id, node, instance.generation, epoch)?;
                return Ok(Deleted::Begun(instance));
            }
            instance.require_unprotected()?;
            begin_removal(tx, &instance, epoch)
        })
        .await
    }
}

fn changed_meanwhile(instance: &Instance) -> Error {
    Error::conflict(format!("instance {} was changed at the same moment: try again", instance.name))
}

/// Whether the same wish is to be tried again: after it has failed, or by force where the guest does not stop.
fn asks_again(before: &Instance, now: &Instance, power_named: bool) -> bool {
    let force = now.force_stop == Some(true) && before.force_stop != Some(true);
    let forced = force && now.power == Power::Stopped && before.status != InstanceStatus::Stopped;
    forced || (power_named && before.status == InstanceStatus::Failed)
}

/// Marks an instance as going: its name and its quota are free, and its node is told to remove it. One that no node has
/// anything of is gone at once.
pub(crate) fn begin_removal(tx: &mut Tx<'_>, instance: &Instance, epoch: i64) -> Result<Deleted<Instance>> {
    refund(tx, instance)?;
    let leaves = elsewhere::waits_for(tx, instance)?;
    let Some(node) = instance.node_id.or(leaves) else {
        records::forget(tx.connection(), instance.id)?;
        return remove_row(tx, instance).map(|()| Deleted::Gone);
    };
    let deleting = tx.begin_delete::<Instance>(instance.id, |instance| {
        instance.generation = instance.generation.next();
        instance.status = InstanceStatus::Deleting;
        instance.status_deadline = states::deadline(&InstanceStatus::Deleting);
        instance.status_reason = None;
    })?;
    records::add_tombstone(tx.connection(), instance.id, node, deleting.generation, epoch)?;
    Ok(Deleted::Begun(deleting))
}

/// The row of an instance goes, and with it what was asked of the instance.
pub(crate) fn remove_row(tx: &mut Tx<'_>, instance: &Instance) -> Result<()> {
    let asked = InstanceActionFilter { instance_id: Some(instance.id), ..InstanceActionFilter::default() };
    for action in tx.list::<InstanceAction>(&asked, ASKED)? {
        tx.remove(&action)?;
    }
    let asked = ConsoleLogFilter { instance_id: Some(instance.id), ..ConsoleLogFilter::default() };
    for log in tx.list::<ConsoleLog>(&asked, ASKED)? {
        tx.remove(&log)?;
    }
    tx.remove(instance)
}

fn refund(tx: &mut Tx<'_>, instance: &Instance) -> Result<()> {
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
