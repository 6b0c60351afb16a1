//! The store of a model whose owner is elsewhere: verbs become HTTP calls, and answers become rows or errors again.
//!
//! How a call travels is the [`Transport`]'s business; what it says is written here once for every model.

use crate::{
    Id,
    context::Context,
    error::{Error, Result},
    feed::{Changes, Position},
    identity::Secret,
    model::{Created, Deleted, Model, Service},
    page::{Batch, Listing, Page},
    problem::Problem,
    store::Store,
    units::Generation,
};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, marker::PhantomData, sync::Arc, time::Duration};

/// One HTTP call to a service.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who is called.
    pub service: Service,
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query, from `/<service>/v1` on.
    pub path: String,
    /// A JSON body.
    pub body: Option<Bytes>,
    /// The version that the row must have.
    pub if_match: Option<Generation>,
}

/// What the service said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body; transports bound its size.
    pub body: Bytes,
}

impl Answer {
    /// The body of a success, or the error that the service answered.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        if (200..300).contains(&self.status) {
            return serde_json::from_slice(&self.body)
                .map_err(|error| Error::internal(format!("the answer can't be understood: {error}")));
        }
        Err(self.error())
    }
    /// The error that the service answered.
    pub fn error(&self) -> Error {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => problem.into(),
            Err(_) if self.status == 503 || self.status == 502 => {
                Error::unavailable("the service can't be reached just now: try again")
            }
            Err(_) => {
                Error::internal(format!("the service answered with status {} and no problem document", self.status))
            }
        }
    }
}

/// Carries calls to services, with the caller's token, request id, key and remaining deadline from the context.
#[async_trait]
pub trait Transport: Send + Sync {
    /// One call; an error when no answer came.
    async fn send(&self, ctx: &Context, call: Call) -> Result<Answer>;
}

/// The rows of `M`, at their owner's.
pub struct Remote<M> {
    transport: Arc<dyn Transport>,
    model: PhantomData<fn() -> M>,
}

impl<M: Model> Remote<M> {
    /// Over this transport.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, model: PhantomData }
    }
    fn path(rest: &str) -> String {
        format!("/{}/v1/{}{rest}", M::SERVICE.name(), M::PATH)
    }
    async fn call(
        &self,
        ctx: &Context,
        method: &'static str,
        path: String,
        body: Option<Bytes>,
        if_match: Option<Generation>,
    ) -> Result<Answer> {
        ctx.remaining()?;
        // reads take no step, so that a cached or a coalesced one does not move the keys of what follows
        let reads = method == "GET" || path.ends_with("/batch");
        let ctx = &ctx.calling(if reads { None } else { ctx.next_key() });
        self.transport.send(ctx, Call { service: M::SERVICE, method, path, body, if_match }).await
    }
}

fn json_body(value: &impl Serialize) -> Result<Option<Bytes>> {
    serde_json::to_vec(value).map(|body| Some(body.into())).map_err(Error::internal)
}

/// `?key=value…` of the fields that are set.
pub fn query(parts: &[Value]) -> String {
    let mut text = String::new();
    for (key, value) in parts.iter().filter_map(Value::as_object).flatten() {
        let value = match value {
            Value::Null => continue,
            Value::String(value) => value.clone(),
            other => other.to_string(),
        };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
                other => text.extend(['%', hex(other >> 4), hex(other & 15)]),
            }
        }
    }
    text
}

/// The digit of a number below 16.
fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

#[async_trait]
impl<M: Model> Store<M> for Remote<M> {
    async fn get(&self, ctx: &Context, id: Id<M>) -> Result<M> {
        self.call(ctx, "GET", Self::path(&format!("/{id}")), None, None).await?.read()
    }
    async fn get_many(&self, ctx: &Context, ids: &[Id<M>]) -> Result<Vec<M>> {
        let answer = self.call(ctx, "POST", Self::path("/batch"), json_body(&json!({ "ids": ids }))?, None).await?;
        answer.read::<Batch<M>>().map(|batch| batch.items)
    }
    async fn list(&self, ctx: &Context, filter: &M::Filter, page: &Page) -> Result<Listing<M>> {
        let parts = [
            serde_json::to_value(filter).map_err(Error::internal)?,
            serde_json::to_value(page).map_err(Error::internal)?,
        ];
        self.call(ctx, "GET", Self::path(&query(&parts)), None, None).await?.read()
    }
    async fn create(&self, ctx: &Context, new: M::New) -> Result<Created<M>> {
        let answer = self.call(ctx, "POST", Self::path(""), json_body(&new)?, None).await?;
        let model = answer.read::<M>()?;
        let mut once = BTreeMap::new();
        if !M::ONCE.is_empty() {
            let whole = answer.read::<Map<String, Value>>()?;
            for field in M::ONCE {
                if let Some(Value::String(secret)) = whole.get(*field) {
                    once.insert((*field).to_owned(), Secret::new(secret.as_str()));
                }
            }
        }
        Ok(Created { model, once })
    }
    async fn update(&self, ctx: &Context, id: Id<M>, patch: M::Patch, version: Option<Generation>) -> Result<M> {
        self.call(ctx, "PATCH", Self::path(&format!("/{id}")), json_body(&patch)?, version).await?.read()
    }
    async fn save(
        &self,
        ctx: &Context,
        id: Id<M>,
        whole: Map<String, Value>,
        version: Option<Generation>,
    ) -> Result<M> {
        self.call(ctx, "PUT", Self::path(&format!("/{id}")), json_body(&whole)?, version).await?.read()
    }
    async fn delete(&self, ctx: &Context, id: Id<M>) -> Result<Deleted<M>> {
        let answer = self.call(ctx, "DELETE", Self::path(&format!("/{id}")), None, None).await?;
        match answer.status {
            204 => Ok(Deleted::Gone),
            _ => answer.read().map(Deleted::Begun),
        }
    }
    async fn watch(&self, ctx: &Context, after: Option<Position>, wait: Duration) -> Result<Changes> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let parts = [json!({ "model": M::PATH, "after": after, "wait_ms": wait_ms })];
        let path = format!("/{}/v1/change{}", M::SERVICE.name(), query(&parts));
        self.call(ctx, "GET", path, None, None).await?.read()
    }
    fn is_far(&self) -> bool {
        true
    }
}
