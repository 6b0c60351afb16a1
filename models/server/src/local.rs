//! The store of an owner: the permission table, then the controller. Every way into a model ends here, so nothing that
//! this file asks can be forgotten elsewhere.

use crate::{
    cache::Cache,
    controller::Controller,
    db::{Database, Recorded, RequestNote, open_once},
    http::Rendered,
    token::WANTED,
};
use async_trait::async_trait;
use cirro_models::{
    Context, Created, Deleted, Error, Id, Listing, Model, Page, Reach, Result, Store,
    feed::{Changes, Position},
    identity::Secret,
    meta::Meta,
    model::Seed,
    permission::Operation,
    sql::Table,
    subject::Principal,
    units::Generation,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{future::Future, sync::Arc, time::Duration};

/// The rows of `M` in the own database.
pub struct Local<M: Table> {
    controller: Arc<dyn Controller<M>>,
    database: Database,
    remembered: Option<Arc<Cache<Rendered<M>>>>,
}

impl<M: Table> Local<M> {
    /// Behind this controller.
    pub fn new(controller: Arc<dyn Controller<M>>, database: Database) -> Self {
        let remembered = if controller.remembers() { database.cache(M::PATH) } else { None };
        Self { controller, database, remembered }
    }

    fn not_found(id: Id<M>) -> Error {
        Error::not_found(M::PATH, id)
    }
    /// The reach of an operation on rows that exist; a row that can be read but not changed is 403, not 404.
    fn require(ctx: &Context, row: &M, operation: Operation) -> Result<()> {
        if row.within(&M::reach(ctx.subject(), operation)) { Ok(()) } else { Err(Self::refusal(operation)) }
    }
    fn refusal(operation: Operation) -> Error {
        let right = format!("{:?}", M::RIGHTS.of(operation)).to_lowercase();
        let what = format!("{operation:?}").to_lowercase();
        Error::forbidden(match right.as_str() {
            "nobody" => format!("a {} can't be {what}d by callers", M::PATH),
            "anyone" => format!("this {} belongs to somebody else: only they or an operator may {what} it", M::PATH),
            _ => format!(
                "to {what} a {} takes the role {right} where it belongs: ask somebody who may grant it",
                M::PATH
            ),
        })
    }
    /// Somebody who is known, in time: what a call meets in every store.
    fn admit(ctx: &Context) -> Result<()> {
        ctx.remaining()?;
        if *ctx.subject().principal() == Principal::Bearer {
            return Err(Error::unauthenticated(WANTED));
        }
        Ok(())
    }
    /// The row and its answer's bytes, if the caller may read it.
    pub(crate) async fn read(&self, ctx: &Context, id: Id<M>) -> Result<Arc<Rendered<M>>> {
        Self::admit(ctx)?;
        let found = self.find(ctx, id).await?;
        // asked of every row anew, wherever it comes from
        let reach = M::reach(ctx.subject(), Operation::Read);
        found.filter(|found| found.row.within(&reach)).ok_or_else(|| Self::not_found(id))
    }
    async fn find(&self, ctx: &Context, id: Id<M>) -> Result<Option<Arc<Rendered<M>>>> {
        let ticket = match self.remembered.as_ref().map(|cache| cache.look(id.uuid())) {
            Some(Ok(found)) => return Ok(Some(found)),
            Some(Err(ticket)) => Some(ticket),
            None => None,
        };
        let Some(row) = self.controller.get_many(ctx, &[id]).await?.pop() else { return Ok(None) };
        let found = Arc::new(Rendered::of(row)?);
        if let (Some(cache), Some(ticket)) = (&self.remembered, ticket) {
            cache.keep(&ticket, found.clone(), found.len());
        }
        Ok(Some(found))
    }
    async fn read_one(&self, ctx: &Context, id: Id<M>) -> Result<M> {
        self.read(ctx, id).await.map(|found| found.row.clone())
    }
    /// Runs a mutating request once per key: a repetition gets the answer that the first one was given.
    async fn once<T, F: Future<Output = Result<T>> + Send>(
        &self,
        ctx: &Context,
        note: RequestNote,
        replay: impl Fn(&Recorded, &RequestNote) -> Result<T> + Send,
        run: impl FnOnce(Context) -> F + Send,
    ) -> Result<T> {
        let note = Arc::new(note);
        let outcome = self.once_only(ctx, &note, replay, run).await;
        self.noted(ctx, note, outcome).await
    }
    async fn once_only<T, F: Future<Output = Result<T>> + Send>(
        &self,
        ctx: &Context,
        note: &Arc<RequestNote>,
        replay: impl Fn(&Recorded, &RequestNote) -> Result<T> + Send,
        run: impl FnOnce(Context) -> F + Send,
    ) -> Result<T> {
        if let Some(recorded) = self.recorded(note).await? {
            self.may_still(ctx, &recorded, note).await?;
            return replay(&recorded, note);
        }
        match run(ctx.clone().answering(note.clone())).await {
            // a racing request with the same key may have won, and be the reason; then its answer is ours
            Err(error) if note.has_key() => match self.recorded(note).await? {
                Some(recorded) => {
                    self.may_still(ctx, &recorded, note).await?;
                    replay(&recorded, note)
                }
                None => Err(error),
            },
            outcome => outcome,
        }
    }
    /// Notes an outcome that is a refusal: who tries what they may not is to be found too.
    async fn noted<T>(&self, ctx: &Context, note: Arc<RequestNote>, outcome: Result<T>) -> Result<T> {
        if matches!(outcome, Err(Error::Forbidden { .. })) {
            self.database.note_refusal(ctx.subject(), note).await;
        }
        outcome
    }
    /// Whether the caller may do now what was done then: rights may have been taken away since. A row that has gone
    /// meanwhile is judged as it was.
    async fn may_still(&self, ctx: &Context, recorded: &Recorded, note: &RequestNote) -> Result<()> {
        let operation = match note.operation() {
            "create" => Operation::Create,
            "delete" => Operation::Delete,
            _ => Operation::Update,
        };
        let (then, _) = answer::<M>(recorded)?;
        let row = self.controller.get_many(ctx, &[then.id()]).await?.pop().unwrap_or(then);
        if !row.within(&M::reach(ctx.subject(), Operation::Read)) {
            return Err(Self::not_found(row.id()));
        }
        Self::require(ctx, &row, operation)
    }
    async fn recorded(&self, note: &Arc<RequestNote>) -> Result<Option<Recorded>> {
        if !note.has_key() {
            return Ok(None);
        }
        let note = note.clone();
        self.database.read(move |c| note.find(c)).await
    }
    fn note(ctx: &Context, operation: &'static str, target: &str, body: &impl Serialize) -> Result<RequestNote> {
        let body = serde_json::to_vec(body).map_err(Error::internal)?;
        Ok(RequestNote::new(ctx, operation, M::PATH, target, &body))
    }
    /// The draft of a new row, within what its maker may make.
    fn draft(ctx: &Context, new: M::New) -> Result<M> {
        let reach = M::reach(ctx.subject(), Operation::Create);
        let seed = Seed {
            id: Id::<M>::new().uuid(),
            project: ctx.subject().project(),
            user: ctx.subject().user(),
            meta: Meta::created(ctx.subject().principal()),
        };
        if reach == Reach::Nothing {
            return Err(Self::refusal(Operation::Create));
        }
        let draft = M::build(new, seed)?;
        Self::require(ctx, &draft, Operation::Create)?;
        Ok(draft)
    }
    async fn change(&self, ctx: Context, id: Id<M>, patch: M::Patch, version: Option<Generation>) -> Result<M> {
        let current = self.read_one(&ctx, id).await?;
        Self::require(&ctx, &current, Operation::Update)?;
        self.controller.update(&ctx, current, patch, version).await
    }
    async fn put(&self, ctx: Context, id: Id<M>, whole: Map<String, Value>, version: Option<Generation>) -> Result<M> {
        let current = self.read_one(&ctx, id).await?;
        Self::require(&ctx, &current, Operation::Update)?;
        let differences = differences(&current, whole)?;
        let version = version.or(differences.version);
        if let Some(field) = differences.refused
            && version.is_none_or(|version| version == current.meta().version)
        {
            return Err(Error::invalid(field, "this field can't be changed by callers: leave it out, or as it is"));
        }
        if differences.patch.is_empty() {
            return Ok(current);
        }
        let version = version.ok_or_else(|| {
            Error::invalid("version", "say which version you have changed: in `version`, or in the If-Match header")
        })?;
        let patch = Value::Object(differences.patch);
        let patch: M::Patch = serde_path_to_error::deserialize(patch)
            .map_err(|error| Error::invalid(error.path().to_string(), error.inner().to_string()))?;
        M::check_patch(&patch)?;
        self.controller.update(&ctx, current, patch, Some(version)).await
    }
}

fn answer<M: Model>(recorded: &Recorded) -> Result<(M, Map<String, Value>)> {
    let text = recorded.answer.as_deref().unwrap_or("{}");
    let mut kept: Map<String, Value> = serde_json::from_str(text).map_err(Error::internal)?;
    let model = serde_json::from_value(kept.remove("model").unwrap_or_default()).map_err(Error::internal)?;
    Ok((model, kept))
}

fn replay_created<M: Model>(recorded: &Recorded, note: &RequestNote) -> Result<Created<M>> {
    let (model, kept) = answer::<M>(recorded)?;
    let mut created = Created::from(model);
    if let (Some(Value::String(sealed)), Some(key)) = (kept.get("sealed"), &note.seal) {
        for (field, secret) in open_once(key, sealed)? {
            created = created.once(&field, Secret::new(secret.as_str().unwrap_or_default()));
        }
    }
    Ok(created)
}

#[async_trait]
impl<M: Table> Store<M> for Local<M> {
    async fn get(&self, ctx: &Context, id: Id<M>) -> Result<M> {
        self.read_one(ctx, id).await
    }

    async fn get_many(&self, ctx: &Context, ids: &[Id<M>]) -> Result<Vec<M>> {
        Self::admit(ctx)?;
        if ids.len() > usize::try_from(Page::MAX).unwrap_or(0) {
            return Err(Error::invalid(
                "ids",
                format!("{} ids are too many: ask for at most {} at once", ids.len(), Page::MAX),
            ));
        }
        let reach = M::reach(ctx.subject(), Operation::Read);
        let rows = self.controller.get_many(ctx, ids).await?;
        let mut found: std::collections::HashMap<_, _> =
            rows.into_iter().filter(|row| row.within(&reach)).map(|row| (row.id(), row)).collect();
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn list(&self, ctx: &Context, filter: &M::Filter, page: &Page) -> Result<Listing<M>> {
        Self::admit(ctx)?;
        M::check_filter(filter)?;
        let reach = M::reach(ctx.subject(), Operation::Read);
        self.controller.list(ctx, filter, reach, page).await
    }

    async fn create(&self, ctx: &Context, new: M::New) -> Result<Created<M>> {
        Self::admit(ctx)?;
        M::check_new(&new)?;
        let note = Self::note(ctx, "create", "", &new)?;
        let draft = match Self::draft(ctx, new.clone()) {
            Ok(draft) => draft,
            refused => return self.noted(ctx, Arc::new(note), refused.map(Created::from)).await,
        };
        let run = |ctx: Context| async move { self.controller.create(&ctx, draft, new).await };
        self.once(ctx, note, replay_created, run).await
    }

    async fn update(&self, ctx: &Context, id: Id<M>, patch: M::Patch, version: Option<Generation>) -> Result<M> {
        Self::admit(ctx)?;
        M::check_patch(&patch)?;
        let note = Self::note(ctx, "update", &id.to_string(), &patch)?;
        let replay = |recorded: &Recorded, _: &RequestNote| answer(recorded).map(|(model, _)| model);
        self.once(ctx, note, replay, |ctx| async move { self.change(ctx, id, patch, version).await }).await
    }

    async fn save(
        &self,
        ctx: &Context,
        id: Id<M>,
        whole: Map<String, Value>,
        version: Option<Generation>,
    ) -> Result<M> {
        Self::admit(ctx)?;
        // the note is of what was sent: the differences are others once they have been applied
        let note = Self::note(ctx, "update", &format!("whole {id}"), &whole)?;
        let replay = |recorded: &Recorded, _: &RequestNote| answer(recorded).map(|(model, _)| model);
        self.once(ctx, note, replay, |ctx| async move { self.put(ctx, id, whole, version).await }).await
    }

    async fn delete(&self, ctx: &Context, id: Id<M>) -> Result<Deleted<M>> {
        Self::admit(ctx)?;
        let note = Self::note(ctx, "delete", &id.to_string(), &())?;
        let replay = |recorded: &Recorded, _: &RequestNote| match recorded.status {
            204 => Ok(Deleted::Gone),
            _ => answer(recorded).map(|(model, _)| Deleted::Begun(model)),
        };
        let run = |ctx: Context| async move {
            let current = self.read_one(&ctx, id).await?;
            Self::require(&ctx, &current, Operation::Delete)?;
            self.controller.delete(&ctx, current).await
        };
        self.once(ctx, note, replay, run).await
    }

    async fn watch(&self, ctx: &Context, after: Option<Position>, wait: Duration) -> Result<Changes> {
        Self::admit(ctx)?;
        crate::db::Feed::watch::<M>(&self.database, ctx, after, wait).await
    }

    fn is_far(&self) -> bool {
        false
    }
}

/// How a whole row differs from the stored one.
#[derive(Default)]
struct Differences {
    /// What callers may change.
    patch: Map<String, Value>,
    /// A field that they may not. Under an older version this is no attempt: the service has changed it since.
    refused: Option<String>,
    /// The version that the row stands on.
    version: Option<Generation>,
}

/// What a whole row changes. A field that does not exist is refused by name.
fn differences<M: Model>(current: &M, whole: Map<String, Value>) -> Result<Differences> {
    let Value::Object(stored) = serde_json::to_value(current).map_err(Error::internal)? else {
        return Err(Error::internal("a model is no JSON object"));
    };
    let mut found = Differences::default();
    for (field, value) in whole {
        let info = M::FIELDS.iter().find(|info| info.name == field);
        let before = stored.get(&field);
        if field == "version" {
            let given = serde_json::from_value(value).map_err(|error| Error::invalid("version", error.to_string()))?;
            found.version = Some(given);
        } else if info.is_none() && before.is_none() && field != "deleted_at" && field != "links" {
            return Err(Error::invalid(&field, format!("a {} has no such field: leave it out", M::PATH)));
        } else if field == "links" || value == *before.unwrap_or(&Value::Null) {
            // not the row's own, or as it was
        } else if field == "labels" {
            found.patch.insert(field, label_patch(before.unwrap_or(&Value::Null), &value));
        } else if info.is_some_and(|info| info.update) {
            found.patch.insert(field, value);
        } else {
            found.refused.get_or_insert(field);
        }
    }
    Ok(found)
}

/// The merge patch that turns these labels into those.
fn label_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return after.clone() };
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    Value::Object(removed.chain(after.iter().map(|(key, value)| (key.clone(), value.clone()))).collect())
}
