//! Guests that nobody claims: adopted as instances again, or destroyed by an explicit order.

use crate::{
    claims::{self, Claim},
    launch::{references::Launch, require_not_to_come},
    records,
    schedule::Need,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Deleted, Error, Generation, Labels, Result, Timestamp, Verbs,
    compute::{
        Instance, UnclaimedGuest,
        assignment::ImageSpec,
        instance::{InstanceStatus, NewInstance, Power},
        unclaimed_guest::UnclaimedGuestPatch,
    },
    images::MachineImage,
    meta::Meta,
    model::{Model, Seed},
};
use cirro_server::{Controller, OwnerContext, Tx};

pub(crate) struct UnclaimedGuests;

#[async_trait]
impl Controller<UnclaimedGuest> for UnclaimedGuests {
    async fn update(
        &self,
        ctx: &Context,
        current: UnclaimedGuest,
        patch: UnclaimedGuestPatch,
        version: Option<Generation>,
    ) -> Result<UnclaimedGuest> {
        let id = current.id;
        if patch.adopt != Some(true) {
            return ctx.write(move |tx| tx.patch(id, patch.clone(), version)).await;
        }
        let image = MachineImage::get(ctx, current.image_id).await?;
        let (Some(sha256), Some(size_bytes)) = (image.sha256.clone(), image.size_bytes) else {
            return Err(Error::conflict(format!(
                "image {} of this guest has no bytes: upload it again first",
                image.name
            )));
        };
        let spec = ImageSpec { id: image.id, sha256, format: image.format.clone(), size_bytes };
        let by = ctx.subject().principal().clone();
        let write = move |tx: &mut Tx<'_>| {
            let guest = tx.patch::<UnclaimedGuest>(id, patch.clone(), version)?;
            if guest.meta.deleted_at.is_some() {
                return Err(Error::conflict(format!("guest {} is being destroyed: it can't be adopted", guest.name)));
            }
            let meta = Meta::created(&by);
            adopt(tx, &guest, spec.clone(), meta)?;
            tx.remove(&guest)?;
            Ok(guest)
        };
        ctx.write(write).await
    }

    /// Orders the node to destroy the guest; the row goes when the node no longer reports it.
    async fn delete(&self, ctx: &Context, current: UnclaimedGuest) -> Result<Deleted<UnclaimedGuest>> {
        let epoch = ctx.database()?.feed().epoch();
        let id = current.id;
        ctx.write(move |tx| {
            let guest = tx.begin_delete::<UnclaimedGuest>(id, |_| {})?;
            records::add_tombstone(tx.connection(), guest.instance_id, guest.node_id, guest.generation.next(), epoch)?;
            Ok(Deleted::Begun(guest))
        })
        .await
    }
}

/// Makes the guest an instance again, with what its mark says of it.
fn adopt(tx: &mut Tx<'_>, guest: &UnclaimedGuest, image: ImageSpec, meta: Meta) -> Result<()> {
    require_not_to_come(tx, guest.project_id, guest.name.as_str())?;
    let power = if guest.running { Power::Running } else { Power::Stopped };
    let new = NewInstance {
        name: guest.name.clone(),
        flavor_id: cirro_models::Id::from_uuid(uuid::Uuid::nil()),
        image_id: guest.image_id,
        ssh_key_ids: None,
        power: Some(power),
        user_data: None,
        protected: None,
        on_node_loss: None,
        labels: Labels::default(),
    };
    let seed = Seed { id: guest.instance_id.uuid(), project: Some(guest.project_id), user: None, meta };
    let mut instance = Instance::build(new, seed)?;
    (instance.node_id, instance.ran_at) = (Some(guest.node_id), Some(Timestamp::now()));
    (instance.vcpus, instance.memory_mib, instance.disk_gib) = (guest.vcpus, guest.memory_mib, guest.disk_gib);
    // above the mark's, so that the node takes this as the newer wish
    instance.generation = guest.generation.next();
    instance.status = if guest.running { InstanceStatus::Running } else { InstanceStatus::Stopped };
    let need = Need { vcpus: guest.vcpus, memory_mib: guest.memory_mib, disk_gib: guest.disk_gib };
    tx.insert(&instance)?;
    for (resource, amount) in [("instances", 1), ("vcpus", guest.vcpus.get()), ("memory_mib", guest.memory_mib.get())] {
        // it exists already: the quota counts it, but can't refuse it
        tx.charge(guest.project_id, resource, amount, i64::MAX)?;
    }
    let claim = Claim { instance: instance.id, node: guest.node_id, need, held_by: None, placement: None };
    claims::add(tx.connection(), &[claim])?;
    let launch = Launch { image, ssh_keys: Vec::new(), user_data: None };
    records::set_launches(tx.connection(), &[(instance.id, &launch)])
}
