//! `GET …/bytes`: the bytes as a stream, or a range of them.

use super::{
    SHA256_HEADER, image_id,
    range::{Asked, asked},
};
use crate::{
    bytes::Object,
    transfer::{Transfers, readable, refusal},
};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::{StatusCode, header},
    web::Path,
};
use cirro_models::{
    Error, Result,
    images::MachineImage,
    problem::{PROBLEM_JSON, Problem},
};
use cirro_server::http::{Caller, Failure};
use futures_util::TryStreamExt;

pub(super) async fn download(
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    give(&caller, &path, &request).await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

async fn give(caller: &Caller, path: &str, request: &HttpRequest) -> Result<HttpResponse> {
    let image = readable(caller, image_id(path)?).await?;
    let header = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let etag = format!("\"{}\"", image.sha256.as_deref().unwrap_or_default());
    if header(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag)) {
        return Ok(described(StatusCode::NOT_MODIFIED, caller, &image, &etag).finish());
    }
    let size = image.size_bytes.map_or(0, |size| size.get().unsigned_abs());
    // RFC 9110 §13.1.5: a range of other bytes than the caller has begun with would not fit
    let same = header(header::IF_RANGE).is_none_or(|tag| tag == etag);
    let range = match asked(header(header::RANGE).filter(|_| same), size) {
        Asked::Whole => None,
        Asked::Part(range) => Some(range),
        Asked::Outside => return Ok(outside(caller, &image, size)),
    };
    let transfers = caller.stores().part::<Transfers>()?;
    let object = transfers.store.open(image.id.uuid(), range.clone()).await.map_err(|error| refusal(&error))?;
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = described(status, caller, &image, &etag);
    if let Some(range) = range {
        response.insert_header((header::CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)));
    }
    Ok(stream(&mut response, object))
}

/// The head of an answer about these bytes. They never change, and who may read them does: so caches ask.
fn described(status: StatusCode, caller: &Caller, image: &MachineImage, etag: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .content_type("application/octet-stream")
        .insert_header((header::ETAG, etag))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((SHA256_HEADER, image.sha256.as_deref().unwrap_or_default()))
        .insert_header(("x-request-id", caller.request_id()));
    response
}

/// A stream of known length, which no deadline cuts; an error ends it early, which the client sees by the length.
fn stream(response: &mut HttpResponseBuilder, object: Object) -> HttpResponse {
    let length = object.range.end - object.range.start;
    let body = object.body.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "a download of an image broke off");
    });
    response.body(SizedStream::new(length, body))
}

/// The problem that a range is not there; its status belongs to ranges alone, so no error of the verbs has it.
fn outside(caller: &Caller, image: &MachineImage, size: u64) -> HttpResponse {
    let detail =
        format!("image {} has {size} bytes and the range asked for begins behind them: ask for one within", image.id);
    let mut problem = Problem::from(&Error::invalid("range", detail));
    problem.status = StatusCode::RANGE_NOT_SATISFIABLE.as_u16();
    problem.request_id = Some(caller.request_id().to_owned());
    HttpResponse::RangeNotSatisfiable()
        .content_type(PROBLEM_JSON)
        .insert_header((header::CONTENT_RANGE, format!("bytes */{size}")))
        .insert_header(("x-request-id", caller.request_id()))
        .body(serde_json::to_vec(&problem).unwrap_or_default())
}
