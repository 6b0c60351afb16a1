//! Where models are reached from here.

use crate::{
    Id,
    context::Context,
    error::{Error, Result},
    feed::{Changes, Position},
    model::{Created, Deleted, Model},
    page::{Listing, Page},
    remote::{Remote, Transport},
    units::Generation,
};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
    time::Duration,
};

/// One way to reach the rows of `M`: the own database (Local), an owner in this process (Mounted), or HTTP (Remote).
/// The verbs mean the same in each.
#[async_trait]
pub trait Store<M: Model>: Send + Sync {
    /// One row.
    async fn get(&self, ctx: &Context, id: Id<M>) -> Result<M>;
    /// Rows in the order asked for; unreadable and missing ones are left out alike.
    async fn get_many(&self, ctx: &Context, ids: &[Id<M>]) -> Result<Vec<M>>;
    /// One page of the rows that the caller may read.
    async fn list(&self, ctx: &Context, filter: &M::Filter, page: &Page) -> Result<Listing<M>>;
    /// A new row.
    async fn create(&self, ctx: &Context, new: M::New) -> Result<Created<M>>;
    /// Changes what the patch names. With `version`, only if the row still has it.
    async fn update(&self, ctx: &Context, id: Id<M>, patch: M::Patch, version: Option<Generation>) -> Result<M>;
    /// Puts the whole row, which must have the stored version unless it changes nothing; absent fields stay.
    async fn save(&self, ctx: &Context, id: Id<M>, whole: Map<String, Value>, version: Option<Generation>)
    -> Result<M>;
    /// Deletes the row, or begins to.
    async fn delete(&self, ctx: &Context, id: Id<M>) -> Result<Deleted<M>>;
    /// The changes after a position (without one: from now), waiting at most `wait` for the first.
    async fn watch(&self, ctx: &Context, after: Option<Position>, wait: Duration) -> Result<Changes>;
    /// Whether a call is expensive, so that concurrent `get`s of one context should become one.
    fn is_far(&self) -> bool;
}

/// The stores of a process: one per model, and what else its controllers need. Built once, at start.
#[derive(Clone, Default)]
pub struct Stores {
    by_model: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    parts: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    elsewhere: Option<Arc<dyn Transport>>,
}

impl Stores {
    /// Says how `M` is reached from here.
    pub fn put<M: Model>(&mut self, store: Arc<dyn Store<M>>) {
        self.by_model.insert(TypeId::of::<M>(), Arc::new(store));
    }
    /// Says how every model is reached that was not [`Stores::put`]: over this transport.
    #[must_use]
    pub fn elsewhere(mut self, transport: Arc<dyn Transport>) -> Self {
        self.elsewhere = Some(transport);
        self
    }
    /// How `M` is reached from here.
    pub fn of<M: Model>(&self) -> Result<Arc<dyn Store<M>>> {
        let put = self.by_model.get(&TypeId::of::<M>()).and_then(|store| store.downcast_ref::<Arc<dyn Store<M>>>());
        match (put, &self.elsewhere) {
            (Some(store), _) => Ok(store.clone()),
            (None, Some(transport)) => Ok(Arc::new(Remote::new(transport.clone()))),
            (None, None) => Err(Error::internal(format!(
                "no store was given for {}: add it where this process is put together",
                M::PATH
            ))),
        }
    }
    /// Whether `M` has a store of its own here.
    pub fn has<M: Model>(&self) -> bool {
        self.by_model.contains_key(&TypeId::of::<M>())
    }
    /// Adds something that controllers of this process share, such as its database.
    pub fn put_part<P: Any + Send + Sync>(&mut self, part: Arc<P>) {
        self.parts.insert(TypeId::of::<P>(), part);
    }
    /// Something that controllers of this process share.
    pub fn part<P: Any + Send + Sync>(&self) -> Result<Arc<P>> {
        let part = self.parts.get(&TypeId::of::<P>()).cloned().and_then(|part| part.downcast().ok());
        part.ok_or_else(|| Error::internal(format!("this process has no {}", std::any::type_name::<P>())))
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stores of {} models", self.by_model.len())
    }
}
