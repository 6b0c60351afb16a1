//! What a launch names in other models: fetched at once, each distinct thing once, with the caller's rights.

use crate::schedule::Need;
use cirro_models::{
    Bytes, Context, Error, Id, Result, Verbs,
    compute::{Flavor, SshKey, assignment::ImageSpec, instance::UserData, launch_group::Template},
    identity::Project,
    images::MachineImage,
};
use futures_util::{TryFutureExt, future::try_join_all, try_join};

/// What an instance is launched with, decided when it was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) image: ImageSpec,
    pub(crate) ssh_keys: Vec<String>,
    pub(crate) user_data: Option<UserData>,
}

/// What a launch names.
#[derive(Debug, Clone)]
pub(crate) struct Referenced {
    /// The project, with its limits.
    pub(crate) project: Project,
    /// Of each group, what one of it takes and is launched with.
    pub(crate) parts: Vec<(Need, Launch)>,
}

/// Fetches what these templates name, for instances of this project.
///
/// # Errors
/// What can't be used, by its field.
pub(crate) async fn fetch(
    ctx: &Context,
    project: Id<Project>,
    templates: Vec<Template>,
    user_data: Option<UserData>,
) -> Result<Referenced> {
    let part = async |template: Template| {
        let (image, flavor, ssh_keys) = try_join!(
            MachineImage::get(ctx, template.image_id).map_err(|error| named("image_id", error)),
            Flavor::get(ctx, template.flavor_id).map_err(|error| named("flavor_id", error)),
            ssh_keys(ctx, project, &template.ssh_key_ids),
        )?;
        let image = usable(&image, project, &flavor)?;
        let need = Need { vcpus: flavor.vcpus, memory_mib: flavor.memory_mib, disk_gib: flavor.disk_gib };
        Ok::<_, Error>((need, Launch { image, ssh_keys, user_data: user_data.clone() }))
    };
    let (project, parts) = try_join!(Project::get(ctx, project), try_join_all(templates.into_iter().map(part)))?;
    Ok(Referenced { project, parts })
}

/// A missing reference is a value that can't be used, named by its field.
pub(crate) fn named(field: &'static str, error: Error) -> Error {
    if error.is_not_found() { Error::invalid(field, error.to_string()) } else { error }
}

/// The lines of the keys, which must all be the project's.
async fn ssh_keys(ctx: &Context, project: Id<Project>, ids: &[Id<SshKey>]) -> Result<Vec<String>> {
    let keys = SshKey::get_many(ctx, ids).await?;
    let missing = ids.iter().find(|id| !keys.iter().any(|key| key.id == **id && key.project_id == project));
    match missing {
        Some(id) => {
            Err(Error::invalid("ssh_key_ids", format!("the project has no SSH key {id}: see `cirro sshkey list`")))
        }
        None => Ok(keys.into_iter().map(|key| key.public_key).collect()),
    }
}

/// The image as its node needs it, if this project may use it and it fits.
fn usable(image: &MachineImage, project: Id<Project>, flavor: &Flavor) -> Result<ImageSpec> {
    let (spec, needed) = ready(image, project)?;
    if needed.get().unsigned_abs() > flavor.disk_gib.bytes() {
        return Err(Error::invalid(
            "flavor_id",
            format!(
                "image {} needs a disk of {needed}, and flavor {} has {}: use a larger flavor",
                image.name, flavor.name, flavor.disk_gib
            ),
        ));
    }
    Ok(spec)
}

/// The image as its node needs it and the disk that it needs, if this project may use it.
pub(crate) fn ready(image: &MachineImage, project: Id<Project>) -> Result<(ImageSpec, Bytes)> {
    if image.project_id != project && !image.public {
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
    let spec = ImageSpec { id: image.id, sha256, format: image.format.clone(), size_bytes };
    Ok((spec, virtual_bytes))
}

impl Launch {
    /// What comes to a node that has not got it.
    pub(crate) fn bytes(&self) -> Bytes {
        self.image.size_bytes
    }
}
