//! Something to launch at a site for trying things out.

use crate::simulated::IMAGE;
use bytes::Bytes;
use cirro_client::Http;
use cirro_models::{
    Context, Error, Labels, Page, Result, Verbs,
    images::{
        MachineImage,
        machine_image::{ImageFormat, ImageStatus, MachineImageFilter, NewMachineImage},
    },
};
use futures_util::stream;

/// Makes the image and sends its bytes, unless that is done.
pub(super) async fn ensure(ctx: &Context, http: &Http) -> Result<()> {
    let image = match known(ctx).await? {
        Some(image) => image,
        None => match MachineImage::create(&keyed(ctx), announced()?).await {
            Ok(made) => made.model,
            // another process was faster
            Err(Error::Conflict { .. }) => {
                known(ctx).await?.ok_or_else(|| Error::internal("an image came and went"))?
            }
            Err(error) => return Err(error),
        },
    };
    if image.status != ImageStatus::Awaiting {
        return Ok(());
    }
    let bytes = stream::iter([Ok(Bytes::from_static(IMAGE.1))]);
    let length = IMAGE.1.len().to_string();
    let path = format!("/images/v1/machineimage/{}/bytes", image.id);
    let answer = http.upload(&keyed(ctx), "PUT", &path, bytes, &[("content-length", &length)]).await?;
    if answer.status < 300 {
        return Ok(());
    }
    match answer.error() {
        // another process sends them at this moment
        Error::Conflict { .. } => Ok(()),
        error => Err(error),
    }
}

async fn known(ctx: &Context) -> Result<Option<MachineImage>> {
    let named = MachineImageFilter { name: Some(IMAGE.0.parse()?), ..MachineImageFilter::default() };
    Ok(MachineImage::list(ctx, &named, &Page::first(1)).await?.items.pop())
}

fn announced() -> Result<NewMachineImage> {
    Ok(NewMachineImage {
        name: IMAGE.0.parse()?,
        format: Some(ImageFormat::Raw),
        public: Some(true),
        size_bytes: None,
        sha256: None,
        labels: Labels::default(),
    })
}

fn keyed(ctx: &Context) -> Context {
    ctx.clone().keyed(uuid::Uuid::now_v7().to_string())
}
