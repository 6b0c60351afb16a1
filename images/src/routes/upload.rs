//! `PUT …/bytes`: the body, as it comes, goes to an upload that runs on its own.

use super::{SHA256_HEADER, image_id};
use crate::{
    bytes::Digest,
    transfer::{Order, Piece, Transfers, receive},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Path, Payload},
};
use cirro_models::{
    Error, Model, Result, Verbs,
    identity::Project,
    images::{MachineImage, machine_image::ImageStatus},
    permission::Operation,
};
use cirro_server::http::{Caller, Failure, answer};
use futures_util::StreamExt;
use serde_json::Map;
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// Chunks that wait for the disk: a few, so that memory does not follow the speed of the network.
const WAITING: usize = 4;
/// How much of a refused body is still read, and for how long: a client that is sending may not read the refusal yet, and
/// closing on it would lose the answer. One that pauses is reading.
const DRAINED: usize = 16 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn upload(
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    mut payload: Payload,
) -> Result<HttpResponse, Failure> {
    match take(&caller, &path, &request, &mut payload).await {
        Ok(image) => Ok(answer(&caller, StatusCode::OK, &image, Map::new())),
        Err(error) => {
            drain(&mut payload).await;
            Err(Failure::with_id(caller.request_id(), error))
        }
    }
}

async fn take(caller: &Caller, path: &str, request: &HttpRequest, payload: &mut Payload) -> Result<MachineImage> {
    let image = MachineImage::get(caller, image_id(path)?).await?;
    require_right(caller, &image)?;
    let digest = digest(request, &image)?;
    if image.status == ImageStatus::Ready && digest.is_some_and(|given| Some(given.to_string()) == image.sha256) {
        drain(payload).await;
        return Ok(image);
    }
    // what was announced of a ready image is what it has, so it refuses other bytes in its own words
    let size = if image.status == ImageStatus::Awaiting { size(request, &image)? } else { 0 };
    let transfers = caller.stores().part::<Transfers>()?;
    let permit = transfers.permit(image.id)?;
    let project = Project::get(caller, image.project_id).await?;
    let limit = i64::try_from(project.max_image_gib.bytes()).unwrap_or(i64::MAX);
    let idle = transfers.idle;
    let order = Order { ctx: (**caller).clone(), transfers, image, size, digest, limit, permit };
    let (sender, receiver) = mpsc::channel(WAITING);
    let receiving = tokio::spawn(receive(order, receiver));
    pump(payload, sender, idle).await;
    receiving.await.map_err(Error::internal)?
}

/// Hands the body on until it ends or is not wanted any more. Going away without a last word says that it broke off.
async fn pump(payload: &mut Payload, pieces: mpsc::Sender<Piece>, idle: Duration) {
    loop {
        let next = tokio::select! {
            next = timeout(idle, payload.next()) => next,
            () = pieces.closed() => return,
        };
        let (piece, last) = match next {
            Ok(Some(Ok(bytes))) => (Piece::Bytes(bytes), false),
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "an upload broke off");
                return;
            }
            Ok(None) => (Piece::End, true),
            Err(_) => (Piece::Silence(idle), true),
        };
        if pieces.send(piece).await.is_err() || last {
            return;
        }
    }
}

async fn drain(payload: &mut Payload) {
    let (end, mut seen) = (Instant::now() + DRAINED_FOR, 0);
    while let Ok(Some(Ok(bytes))) = timeout(PAUSE, payload.next()).await {
        seen += bytes.len();
        if seen > DRAINED || Instant::now() > end {
            return;
        }
    }
}

/// Sending bytes takes what changing the image takes.
fn require_right(caller: &Caller, image: &MachineImage) -> Result<()> {
    if image.within(&MachineImage::reach(caller.subject(), Operation::Update)) {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "to upload the bytes of image {} takes the role member in its project: ask somebody who may grant it",
        image.id
    )))
}

/// The digest that the bytes must have: the header's, or the announced one.
fn digest(request: &HttpRequest, image: &MachineImage) -> Result<Option<Digest>> {
    let read = |text: &str| text.parse::<Digest>().map_err(|error| Error::invalid("sha256", format!("{error}")));
    let header = match request.headers().get(SHA256_HEADER) {
        Some(value) => Some(read(value.to_str().unwrap_or_default())?),
        None => None,
    };
    let announced = image.sha256.as_deref().filter(|_| image.status == ImageStatus::Awaiting).map(read).transpose()?;
    match (header, announced) {
        (Some(header), Some(announced)) if header != announced => Err(Error::invalid(
            "sha256",
            format!(
                "image {} was announced with the sha256 {announced} and these bytes with {header}: send the file that was announced, or create a new image",
                image.id
            ),
        )),
        (header, announced) => Ok(header.or(announced)),
    }
}

/// How many bytes will come: they are set aside in the project's quota before the first one is taken.
fn size(request: &HttpRequest, image: &MachineImage) -> Result<i64> {
    let length = match request.headers().get(header::CONTENT_LENGTH) {
        Some(value) => Some(value.to_str().ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(|| {
            Error::Malformed { detail: "the header Content-Length can't be used: give the number of bytes".to_owned() }
        })?),
        None => None,
    };
    match (length, image.size_bytes.map(cirro_models::Bytes::get)) {
        (Some(length), Some(announced)) if length != announced => Err(Error::invalid(
            "size_bytes",
            format!(
                "image {} was announced with {announced} bytes and this upload has {length}: send the file that was announced, or create a new image",
                image.id
            ),
        )),
        (length, announced) => length.or(announced).ok_or_else(|| Error::Malformed {
            detail: format!(
                "how large image {} is must be known before its first byte: send Content-Length, or announce size_bytes when creating the image",
                image.id
            ),
        }),
    }
}
