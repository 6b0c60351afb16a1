//! What a site for trying things out has: an image.

use crate::transfer::{Order, Piece, Transfers, receive};
use bytes::Bytes;
use cirro_models::{
    Context, Error, Labels, Page, Principal, Result, Role, Subject, Verbs,
    identity::Project,
    images::{
        MachineImage,
        machine_image::{ImageFormat, ImageStatus, MachineImageFilter, NewMachineImage},
    },
};
use tokio::sync::mpsc;

/// Makes a public image with this name and these bytes of a raw disk, ready to use, unless the project has one. It goes
/// the way of any image: announced, uploaded, verified, charged to the project.
///
/// # Errors
/// What any upload is refused for.
pub async fn image(ctx: &Context, project: &Project, name: &str, bytes: &'static [u8]) -> Result<MachineImage> {
    let own = Principal::Service("images");
    let ctx = ctx.with_subject(Subject::verified(own, Some((project.id, Role::Admin)), false, false, None));
    let named =
        MachineImageFilter { project_id: Some(project.id), name: Some(name.parse()?), ..MachineImageFilter::default() };
    let image = match MachineImage::list(&ctx, &named, &Page::first(1)).await?.items.pop() {
        Some(known) => known,
        None => MachineImage::create(&ctx, announced(name)?).await?.model,
    };
    if image.status != ImageStatus::Awaiting {
        return Ok(image);
    }
    let transfers = ctx.stores().part::<Transfers>()?;
    let permit = transfers.permit(image.id)?;
    let size = i64::try_from(bytes.len()).map_err(Error::internal)?;
    let limit = i64::try_from(project.max_image_gib.bytes()).unwrap_or(i64::MAX);
    let order = Order { ctx, transfers, image, size, digest: None, limit, permit };
    let (sender, pieces) = mpsc::channel(2);
    let send = async {
        // one who does not listen any more says why
        let _ = sender.send(Piece::Bytes(Bytes::from_static(bytes))).await;
        let _ = sender.send(Piece::End).await;
    };
    tokio::join!(receive(order, pieces), send).0
}

fn announced(name: &str) -> Result<NewMachineImage> {
    Ok(NewMachineImage {
        name: name.parse()?,
        format: Some(ImageFormat::Raw),
        public: Some(true),
        size_bytes: None,
        sha256: None,
        labels: Labels::default(),
    })
}
