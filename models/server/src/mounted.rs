//! The store of a model whose owner runs in this process: the call enters the owner's own store, with the checks that
//! it would meet over HTTP, and without a socket.

use crate::token::EXPIRED;
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Id, Listing, Model, Page, Result, Store, Stores, Timestamp,
    feed::{Changes, Position},
    units::Generation,
};
use serde_json::{Map, Value};
use std::{
    future::Future,
    marker::PhantomData,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

/// An owner's stores, which are complete only when all owners of the process are put together.
pub type Door = Arc<OnceLock<Arc<Stores>>>;

/// The rows of `M`, at an owner in this process. Owners reach each other: kept alive by what is mounted, none would ever
/// end.
pub struct Mounted<M> {
    door: Weak<OnceLock<Arc<Stores>>>,
    model: PhantomData<fn() -> M>,
}

impl<M: Model> Mounted<M> {
    /// Behind this door.
    pub fn new(door: &Door) -> Self {
        Self { door: Arc::downgrade(door), model: PhantomData }
    }

    /// Enters the owner, to read or to change something there: its stores, the caller's subject while its proof is good, and what is left of the deadline.
    async fn enter<T, F: Future<Output = Result<T>> + Send>(
        &self,
        ctx: &Context,
        changes: bool,
        call: impl FnOnce(Arc<dyn Store<M>>, Context) -> F + Send,
    ) -> Result<T> {
        let remaining = ctx.remaining()?;
        if ctx.subject().expires_at().is_some_and(|end| end <= Timestamp::now()) {
            return Err(Error::unauthenticated(EXPIRED));
        }
        let stores = self.door.upgrade().and_then(|door| door.get().cloned());
        let stores = stores
            .ok_or_else(|| Error::unavailable(format!("{} is starting or ending: try again", M::SERVICE.name())))?;
        let mut inside = ctx.entering(stores.clone());
        // reads take no step, so that a coalesced one does not move the keys of what follows
        if changes && let Some(key) = ctx.next_key() {
            inside = inside.keyed(key);
        }
        let call = call(stores.of::<M>()?, inside);
        match tokio::time::timeout(remaining, call).await {
            Ok(Err(error @ Error::Internal { .. })) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    request_id = ctx.request_id(),
                    "{} failed",
                    M::SERVICE.name()
                );
                Err(error.without_source())
            }
            Ok(outcome) => outcome,
            Err(_) => Err(Error::DeadlineExceeded {
                detail: format!("{} did not answer in time: try again", M::SERVICE.name()),
            }),
        }
    }
}

#[async_trait]
impl<M: Model> Store<M> for Mounted<M> {
    async fn get(&self, ctx: &Context, id: Id<M>) -> Result<M> {
        self.enter(ctx, false, |store, ctx| async move { store.get(&ctx, id).await }).await
    }
    async fn get_many(&self, ctx: &Context, ids: &[Id<M>]) -> Result<Vec<M>> {
        self.enter(ctx, false, |store, ctx| async move { store.get_many(&ctx, ids).await }).await
    }
    async fn list(&self, ctx: &Context, filter: &M::Filter, page: &Page) -> Result<Listing<M>> {
        self.enter(ctx, false, |store, ctx| async move { store.list(&ctx, filter, page).await }).await
    }
    async fn create(&self, ctx: &Context, new: M::New) -> Result<Created<M>> {
        self.enter(ctx, true, |store, ctx| async move { store.create(&ctx, new).await }).await
    }
    async fn update(&self, ctx: &Context, id: Id<M>, patch: M::Patch, version: Option<Generation>) -> Result<M> {
        self.enter(ctx, true, |store, ctx| async move { store.update(&ctx, id, patch, version).await }).await
    }
    async fn save(
        &self,
        ctx: &Context,
        id: Id<M>,
        whole: Map<String, Value>,
        version: Option<Generation>,
    ) -> Result<M> {
        self.enter(ctx, true, |store, ctx| async move { store.save(&ctx, id, whole, version).await }).await
    }
    async fn delete(&self, ctx: &Context, id: Id<M>) -> Result<Deleted<M>> {
        self.enter(ctx, true, |store, ctx| async move { store.delete(&ctx, id).await }).await
    }
    async fn watch(&self, ctx: &Context, after: Option<Position>, wait: Duration) -> Result<Changes> {
        self.enter(ctx, false, |store, ctx| async move { store.watch(&ctx, after, wait).await }).await
    }
    fn is_far(&self) -> bool {
        true
    }
}
