//! What compute's rows name of other services: asked for by batches, each thing once.

use cirro_models::{
    Context, Result,
    finding::{Finding, Kind},
    identity::Project,
    images::MachineImage,
    sql::AnyConnection,
};
use cirro_server::audit::{gone, ids};
use uuid::Uuid;

pub(super) const IMAGE_GONE: Kind = Kind {
    code: "compute.image-gone",
    thing: "image",
    means: "instances wait for their nodes to begin with it, and it is gone",
    remedy: "delete the instances that are pending, and launch them from another image",
};
pub(super) const PROJECT_GONE: Kind = Kind {
    code: "compute.project-gone",
    thing: "project",
    means: "instances or launch plans belong to it, and it is gone",
    remedy: "delete them (`cirro instance list --all -o json` tells whose they are)",
};

const IMAGES: &str = "SELECT DISTINCT image_id AS id FROM instance WHERE status = 'pending' AND deleted_at IS NULL";
const PROJECTS: &str = "SELECT project_id AS id FROM instance UNION SELECT project_id AS id FROM launchplan";

/// What rows name: images and projects.
pub(super) struct Named {
    images: Vec<Uuid>,
    projects: Vec<Uuid>,
}

/// Reads it.
pub(super) fn named(c: &mut AnyConnection) -> Result<Named> {
    Ok(Named { images: ids(c, IMAGES)?, projects: ids(c, PROJECTS)? })
}

/// What of it is gone.
pub(super) async fn find(ctx: &Context, named: Named) -> Result<Vec<Finding>> {
    let images = gone::<MachineImage>(ctx, &named.images).await?;
    let projects = gone::<Project>(ctx, &named.projects).await?;
    let images = images.into_iter().map(|id| IMAGE_GONE.found(id, None, None));
    Ok(images.chain(projects.into_iter().map(|id| PROJECT_GONE.found(id, None, None))).collect())
}
