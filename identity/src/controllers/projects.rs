//! Tenants: one that still owns something stays.

use crate::{
    controllers::{MANY, grants::holders},
    records,
    signer::Signer,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Deleted, Error, Page, Principal, Result, Verbs,
    compute::{Instance, instance::InstanceFilter},
    identity::{ApiKey, Grant, Project, api_key::ApiKeyFilter, grant::GrantFilter},
    images::{MachineImage, machine_image::MachineImageFilter},
    storage::{Volume, volume::VolumeFilter},
};
use cirro_server::{Controller, OwnerContext};
use futures_util::try_join;
use std::collections::BTreeSet;

pub(crate) struct Projects;

#[async_trait]
impl Controller<Project> for Projects {
    async fn delete(&self, ctx: &Context, current: Project) -> Result<Deleted<Project>> {
        let (own, one) = (Some(current.id), Page::first(1));
        let of_instances = InstanceFilter { project_id: own, ..InstanceFilter::default() };
        let of_volumes = VolumeFilter { project_id: own, ..VolumeFilter::default() };
        let of_images = MachineImageFilter { project_id: own, ..MachineImageFilter::default() };
        let (instances, volumes, images) = try_join!(
            Instance::list(ctx, &of_instances, &one),
            Volume::list(ctx, &of_volumes, &one),
            MachineImage::list(ctx, &of_images, &one),
        )?;
        let left =
            [("instances", instances.items.len()), ("volumes", volumes.items.len()), ("images", images.items.len())];
        if let Some((what, _)) = left.iter().find(|(_, count)| *count > 0) {
            return Err(Error::conflict(format!("project {} still has {what}: delete them first", current.name)));
        }
        let signer = ctx.stores().part::<Signer>()?;
        let kept = signer.clone();
        let ended = ctx
            .write(move |tx| {
                // what was derived from a role here ends with it, as when the grant alone is removed
                let mut roots = BTreeSet::new();
                for grant in tx.list::<Grant>(&GrantFilter { project_id: own, ..GrantFilter::default() }, MANY)? {
                    roots.extend(holders(tx, &grant)?);
                    tx.remove(&grant)?;
                }
                for key in tx.list::<ApiKey>(&ApiKeyFilter { project_id: own, ..ApiKeyFilter::default() }, MANY)? {
                    roots.insert(Principal::ApiKey(key.id, key.user_id).to_string());
                    records::forget_secret(tx.connection(), &format!("key:{}", key.id))?;
                    tx.remove(&key)?;
                }
                let ended = kept.revoke(tx, &roots)?;
                tx.remove(&current).map(|()| ended)
            })
            .await?;
        signer.revoked(&ended);
        Ok(Deleted::Gone)
    }
}
