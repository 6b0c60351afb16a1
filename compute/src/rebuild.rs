//! An instance gets a new root disk from its image or another; everything else of it stays. It is asked for by the
//! generation of the wish, which its node compares with the one that it made the disk for: so it happens once, whoever
//! dies in between, and a database that was put back to an earlier state asks for nothing.

use crate::{
    launch::references::{named, ready},
    records, states,
};
use cirro_models::{
    Context, Error, Result, Verbs,
    compute::{
        Instance,
        assignment::ImageSpec,
        instance::{InstancePatch, InstanceStatus},
    },
    images::MachineImage,
};
use cirro_server::Tx;

/// The image of a new root disk.
#[derive(Debug, Clone)]
pub(crate) struct Rebuild(ImageSpec);

impl Rebuild {
    /// Fetches the image that is named, or the present one, if a rebuild is asked for.
    ///
    /// # Errors
    /// The image can't be used or does not fit, or another one is named without a rebuild.
    pub(crate) async fn fetch(ctx: &Context, current: &Instance, patch: &InstancePatch) -> Result<Option<Self>> {
        let other = patch.image_id.filter(|image| *image != current.image_id);
        if patch.rebuild != Some(true) {
            return match other {
                None => Ok(None),
                Some(_) => Err(Error::invalid(
                    "image_id",
                    format!(
                        "instance {} gets another image by a rebuild only, which ends what is on its root disk: add `rebuild` \
                         if this is meant",
                        current.name
                    ),
                )),
            };
        }
        let image = MachineImage::get(ctx, other.unwrap_or(current.image_id)).await;
        let image = image.map_err(|error| named("image_id", error))?;
        let (spec, needed) = ready(&image, current.project_id)?;
        if needed.get().unsigned_abs() > current.disk_gib.bytes() {
            return Err(Error::invalid(
                "image_id",
                format!(
                    "image {} needs a disk of {needed}, and instance {} has {}: use a smaller image, or resize it first",
                    image.name, current.name, current.disk_gib
                ),
            ));
        }
        Ok(Some(Self(spec)))
    }
    /// Hands the image to the instance's node.
    ///
    /// # Errors
    /// It is protected, has no node yet, or was given another image at the same moment.
    pub(crate) fn take(&self, tx: &mut Tx<'_>, instance: &Instance, patch: &InstancePatch) -> Result<()> {
        instance.require_live()?;
        instance.require_unprotected()?;
        let name = &instance.name;
        if instance.node_id.is_none() {
            return Err(Error::conflict(format!(
                "instance {name} has not begun: it is made from its image anyway; wait until it runs"
            )));
        }
        if patch.image_id.unwrap_or(instance.image_id) != self.0.id {
            return Err(Error::conflict(format!("instance {name} was changed at the same moment: try again")));
        }
        records::set_image(tx.connection(), instance.id, &self.0)
    }
    /// The row as it is from then on; its generation is the wish's already.
    pub(crate) fn apply(instance: &mut Instance) {
        instance.root_generation = instance.generation;
        instance.status = InstanceStatus::Building;
        instance.status_deadline = states::deadline(&instance.status);
        instance.status_reason = None;
        instance.address = None;
    }
}
