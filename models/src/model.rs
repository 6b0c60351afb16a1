//! What a model is, and the verbs that every model has.

use crate::{
    Id, batch,
    context::Context,
    error::Result,
    feed::{Changes, Position},
    identity::{Project, Secret, User},
    meta::{Labels, Meta, PartialMeta},
    page::{Listing, Page},
    permission::{Operation, Reach, Rights, Scope},
    subject::Subject,
    units::Generation,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, future::Future, ops::Deref, time::Duration};
use utoipa::ToSchema;
use uuid::Uuid;

/// The four services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Users, projects, grants, keys.
    Identity,
    /// Instances, nodes.
    Compute,
    /// Volumes, pools.
    Storage,
    /// Machine images.
    Images,
}

impl Service {
    /// The first segment of its paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Compute => "compute",
            Self::Storage => "storage",
            Self::Images => "images",
        }
    }
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Compute, Self::Storage, Self::Images];
}

/// A field of a model, as its declaration marks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its name on the wire and in the database.
    pub name: &'static str,
    /// Whether a caller may give it at creation.
    pub create: bool,
    /// Whether a caller may change it.
    pub update: bool,
    /// Whether lists can be filtered by it, so that it needs an index.
    pub filter: bool,
}

/// A reference of a row to a row of another model.
pub type ModelRef = (&'static str, Service, &'static str, Uuid);

/// What the store knows when it makes a row.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The new row's id.
    pub id: Uuid,
    /// The project that the caller works in.
    pub project: Option<Id<Project>>,
    /// The caller, if a person.
    pub user: Option<Id<User>>,
    /// Who, when, labels.
    pub meta: Meta,
}

/// What applying a patch changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Some field has another value now.
    pub changed: bool,
    /// A field that is the owner's wish has.
    pub desire: bool,
}

/// One kind of thing the API manages. `#[derive(Model)]` implements it; nobody else does.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a model: put `#[derive(Model)]` on it")]
pub trait Model:
    Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static
{
    /// The service that owns it.
    const SERVICE: Service;
    /// Its segment in paths, its table, and its name in messages.
    const PATH: &'static str;
    /// To whom its rows belong.
    const SCOPE: Scope;
    /// What each operation takes.
    const RIGHTS: Rights;
    /// Its fields, `meta` left out.
    const FIELDS: &'static [FieldInfo];
    /// Whether rows name the node that they are assigned to.
    const NODE_FIELD: bool;
    /// Whether creating one is only the beginning (202, not 201).
    const ACCEPTED: bool;
    /// The fields of which no two live rows may have the same values.
    const UNIQUE: &'static [&'static str];
    /// The fields that the create answer adds and no other answer has.
    const ONCE: &'static [&'static str];
    /// What a caller gives to create one.
    type New: Clone + fmt::Debug + Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static;
    /// What a caller gives to change one.
    type Patch: Clone + fmt::Debug + Default + Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static;
    /// What a list can be filtered by.
    type Filter: Clone + fmt::Debug + Default + Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static;

    /// The row's id.
    fn id(&self) -> Id<Self>;
    /// Version, labels, times.
    fn meta(&self) -> &Meta;
    /// The same, to be changed by the store.
    fn meta_mut(&mut self) -> &mut Meta;
    /// The project that the row belongs to.
    fn project(&self) -> Option<Id<Project>>;
    /// A row from what a caller gave.
    fn build(new: Self::New, seed: Seed) -> Result<Self>;
    /// Refuses values that must not be stored.
    fn check_new(new: &Self::New) -> Result<()>;
    /// Refuses values that must not be stored.
    fn check_patch(patch: &Self::Patch) -> Result<()>;
    /// Refuses values that no row can have.
    fn check_filter(filter: &Self::Filter) -> Result<()>;
    /// The labels that a caller gave.
    fn labels_of(new: &Self::New) -> Labels;
    /// The changes of labels in a patch.
    fn label_patch(patch: &Self::Patch) -> &PartialMeta;
    /// Takes over what the patch names, labels included; a changed wish moves the generation on.
    fn apply(&mut self, patch: Self::Patch) -> Applied;
    /// Whether the row is within reach: the same rule as the list's SQL.
    fn within(&self, reach: &Reach) -> bool;
    /// The rows of other models that it names.
    fn refs(&self) -> Vec<ModelRef>;
    /// How far a subject reaches into the rows.
    fn reach(subject: &Subject, operation: Operation) -> Reach {
        crate::permission::reach(subject, Self::SERVICE, Self::SCOPE, &Self::RIGHTS, operation, Self::NODE_FIELD)
    }
}

/// A row that was just made, with what is told this one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Created<M> {
    /// The row.
    pub model: M,
    /// Secrets that no other answer will hold.
    pub once: BTreeMap<String, Secret>,
}

impl<M> Created<M> {
    /// Adds something that is told this one time.
    #[must_use]
    pub fn once(mut self, field: &str, secret: Secret) -> Self {
        self.once.insert(field.to_owned(), secret);
        self
    }
}
impl<M> From<M> for Created<M> {
    fn from(model: M) -> Self {
        Self { model, once: BTreeMap::new() }
    }
}
impl<M> Deref for Created<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.model
    }
}

/// How a deletion stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Deleted<M> {
    /// The row is gone.
    Gone,
    /// The row stays until what belongs to it is removed.
    Begun(M),
}

/// The verbs, written once for every model.
pub trait Verbs: Model {
    /// The row with this id. Concurrent calls in one context become one call to a distant owner.
    fn get(ctx: &Context, id: Id<Self>) -> impl Future<Output = Result<Self>> + Send {
        async move {
            let store = ctx.stores().of::<Self>()?;
            if store.is_far() { batch::get(ctx, &store, id).await } else { store.get(ctx, id).await }
        }
    }
    /// The rows with these ids, in this order; unreadable and missing ones are left out alike.
    fn get_many(ctx: &Context, ids: &[Id<Self>]) -> impl Future<Output = Result<Vec<Self>>> + Send {
        async move { ctx.stores().of::<Self>()?.get_many(ctx, ids).await }
    }
    /// One page of the rows that the caller may read.
    fn list(ctx: &Context, filter: &Self::Filter, page: &Page) -> impl Future<Output = Result<Listing<Self>>> + Send {
        async move { ctx.stores().of::<Self>()?.list(ctx, filter, page).await }
    }
    /// A new row.
    fn create(ctx: &Context, new: Self::New) -> impl Future<Output = Result<Created<Self>>> + Send {
        async move { ctx.stores().of::<Self>()?.create(ctx, new).await }
    }
    /// Changes what the patch names.
    fn update(ctx: &Context, id: Id<Self>, patch: Self::Patch) -> impl Future<Output = Result<Self>> + Send {
        async move { ctx.stores().of::<Self>()?.update(ctx, id, patch, None).await }
    }
    /// Puts the row as it is here; refused with `Stale` if it has changed meanwhile.
    fn save(&self, ctx: &Context) -> impl Future<Output = Result<Self>> + Send {
        async move {
            let whole = match serde_json::to_value(self) {
                Ok(Value::Object(whole)) => whole,
                Ok(_) => return Err(crate::Error::internal("a model is no JSON object")),
                Err(error) => return Err(crate::Error::internal(error)),
            };
            let version: Option<Generation> = Some(self.meta().version);
            ctx.stores().of::<Self>()?.save(ctx, self.id(), whole, version).await
        }
    }
    /// Deletes the row, or begins to.
    fn delete(ctx: &Context, id: Id<Self>) -> impl Future<Output = Result<Deleted<Self>>> + Send {
        async move { ctx.stores().of::<Self>()?.delete(ctx, id).await }
    }
    /// The changes after a position (without one: from now), waiting at most `wait` for the first.
    fn watch(ctx: &Context, after: Option<Position>, wait: Duration) -> impl Future<Output = Result<Changes>> + Send {
        async move { ctx.stores().of::<Self>()?.watch(ctx, after, wait).await }
    }
}
impl<M: Model> Verbs for M {}
