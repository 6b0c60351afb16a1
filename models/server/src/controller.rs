//! The operations on one model, where they differ from the defaults.

use crate::db::{Database, RequestNote, Tx};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Id, Listing, Page, Reach, Result, Subject, error::Error, sql::Table, subject::Principal,
    units::Generation,
};
use std::sync::Arc;

/// The operations on one model. A controller overrides only what differs, and sees no HTTP type.
///
/// When it is called, the caller is authenticated, the permission table has been asked, values are checked, and rows
/// out of the caller's reach are gone: a controller can't forget any of it.
#[async_trait]
pub trait Controller<M: Table>: Send + Sync + 'static {
    /// Rows by id, in no order. One that tells more than is stored also overrides [`Self::remembers`].
    async fn get_many(&self, ctx: &Context, ids: &[Id<M>]) -> Result<Vec<M>> {
        let ids = ids.to_vec();
        ctx.database()?.read(move |c| M::select(c, &ids).map_err(crate::db::database_error)).await
    }
    /// Whether a row that was read may be told again until it is written: true when [`Self::get_many`] tells what is
    /// stored, and nothing besides.
    fn remembers(&self) -> bool {
        true
    }
    /// One page of the rows within reach.
    async fn list(&self, ctx: &Context, filter: &M::Filter, reach: Reach, page: &Page) -> Result<Listing<M>> {
        let (filter, after, limit) = (filter.clone(), page.after()?, page.limit()?);
        let query = move |c: &mut _| M::page(c, &filter, &reach, after, limit + 1).map_err(crate::db::database_error);
        let mut items = ctx.database()?.read(query).await?;
        let more = items.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = items.last().filter(|_| more).map(|row| row.id().to_string());
        Ok(Listing { items, next })
    }
    /// A new row: `draft` is what the caller may make; `new` also holds what is only in requests.
    async fn create(&self, ctx: &Context, draft: M, new: M::New) -> Result<Created<M>> {
        drop(new);
        ctx.write(move |tx| tx.insert(&draft).map(|()| draft.clone())).await.map(Into::into)
    }
    /// Changes a row. With `version`, only if the stored row still has it.
    async fn update(&self, ctx: &Context, current: M, patch: M::Patch, version: Option<Generation>) -> Result<M> {
        let id = current.id();
        ctx.write(move |tx| tx.patch(id, patch.clone(), version)).await
    }
    /// Deletes a row, or begins to.
    async fn delete(&self, ctx: &Context, current: M) -> Result<Deleted<M>> {
        ctx.write(move |tx| tx.remove(&current)).await.map(|()| Deleted::Gone)
    }
}

/// The controller of a model that differs in nothing.
#[derive(Debug, Clone, Copy)]
pub struct Plain;
impl<M: Table> Controller<M> for Plain {}

/// What a context is to controllers and tasks of an owner.
pub trait OwnerContext {
    /// The owner's database.
    fn database(&self) -> Result<Arc<Database>>;
    /// Runs a change in one transaction, in the caller's name; see [`Database::write`].
    fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send;
    /// The same circumstances as the service itself: for its own work, which nobody asked for just now.
    fn as_service(&self) -> Result<Context>;
    /// Refuses what a key with a scope of its own may not do.
    fn require_unscoped(&self) -> Result<()>;
}

/// The name of the service that a set of stores belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Whose(pub cirro_models::Service);

impl OwnerContext for Context {
    fn database(&self) -> Result<Arc<Database>> {
        self.stores().part::<Database>()
    }
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.remaining()?;
        self.database()?.write(self.subject(), self.request::<RequestNote>(), change).await
    }
    fn as_service(&self) -> Result<Context> {
        let whose = self.stores().part::<Whose>()?;
        Ok(self.with_subject(service_subject(whose.0)))
    }
    fn require_unscoped(&self) -> Result<()> {
        if self.subject().is_scoped() {
            return Err(Error::forbidden(
                "an API key makes no keys, grants or users and changes none: log in with a password",
            ));
        }
        Ok(())
    }
}

/// A service as the one who asks.
pub fn service_subject(service: cirro_models::Service) -> Subject {
    Subject::verified(Principal::Service(service.name()), None, false, false, None)
}
