//! Who may read the bytes of an image.

use cirro_models::{
    Context, Error, Id, Model, Page, Result, Verbs,
    compute::{Instance, instance::InstanceFilter},
    images::MachineImage,
};
use cirro_server::OwnerContext;

/// The image, if the caller may read its bytes: whoever may read the row, and a node while an instance that is made from
/// the image is assigned to it. Everybody else is told what they would be told of an image that never existed.
pub(crate) async fn readable(ctx: &Context, id: Id<MachineImage>) -> Result<MachineImage> {
    let image = if let Some(node) = ctx.subject().node() {
        // a node that is known by its certificate has nothing that could be handed on to compute
        let own = ctx.as_service()?;
        let assigned = InstanceFilter { image_id: Some(id), node_id: Some(node), ..InstanceFilter::default() };
        if Instance::list(&own, &assigned, &Page::first(1)).await?.items.is_empty() {
            return Err(Error::not_found(MachineImage::PATH, id));
        }
        MachineImage::get(&own, id).await?
    } else {
        MachineImage::get(ctx, id).await?
    };
    image.require_ready()?;
    Ok(image)
}
