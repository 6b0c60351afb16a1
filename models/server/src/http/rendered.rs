//! A row as the wire has it: JSON with links, and its `ETag`.

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
    web::Bytes,
};
use cirro_models::{Context, Error, Generation, Model, Service};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

/// A row with links to itself and to what it names.
#[derive(Serialize)]
pub(crate) struct Linked<'m, M: Model> {
    #[serde(flatten)]
    model: &'m M,
    #[serde(flatten)]
    once: Map<String, Value>,
    links: Links<'m, M>,
}

/// The links of a row, written where they go: a list has hundreds of them.
struct Links<'m, M>(&'m M);

impl<M: Model> Serialize for Links<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refs = self.0.refs();
        let mut links = serializer.serialize_map(Some(refs.len() + 1))?;
        links.serialize_entry("self", &Link(M::SERVICE, M::PATH, self.0.id().uuid()))?;
        for (name, service, path, id) in refs {
            links.serialize_entry(name, &Link(service, path, id))?;
        }
        links.end()
    }
}

struct Link(Service, &'static str, uuid::Uuid);

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(service, path, id) = self;
        serializer.collect_str(&format_args!("/{}/v1/{path}/{id}", service.name()))
    }
}

/// The row with its links; `once` is what no other answer will hold.
pub(crate) fn linked<M: Model>(model: &M, once: Map<String, Value>) -> Linked<'_, M> {
    Linked { model, once, links: Links(model) }
}

/// The `ETag` of a row with this version.
pub(crate) fn etag(version: Generation) -> String {
    format!("\"{}\"", version.get())
}

/// A row with the bytes of its answer, which are the same for everybody who may read it.
pub(crate) struct Rendered<M> {
    pub(crate) row: M,
    body: Bytes,
    etag: HeaderValue,
}

impl<M: Model> Rendered<M> {
    pub(crate) fn of(row: M) -> cirro_models::Result<Self> {
        let body = serde_json::to_vec(&linked(&row, Map::new())).map_err(Error::internal)?.into();
        let etag = HeaderValue::try_from(etag(row.meta().version)).map_err(Error::internal)?;
        Ok(Self { row, body, etag })
    }
    /// How many bytes the answer has.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }
    /// The answer to a reader who may see the row, and who has what `known` (an `If-None-Match`) says.
    pub(crate) fn answer(&self, ctx: &Context, known: Option<&str>) -> HttpResponse {
        let same = |tag: &str| tag.trim().trim_start_matches("W/").as_bytes() == self.etag.as_bytes();
        if known.is_some_and(|known| known.split(',').any(same)) {
            return HttpResponse::NotModified().insert_header((header::ETAG, self.etag.clone())).finish();
        }
        HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
            .insert_header((header::ETAG, self.etag.clone()))
            .insert_header(("x-request-id", ctx.request_id()))
            .body(self.body.clone())
    }
}
