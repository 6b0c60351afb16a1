//! Concurrent `get`s of one model within one [`Context`] become one call.
//!
//! The first `get` leads: it notes its id, lets the scheduler run everything else that is ready once, and then asks for
//! all ids that were noted meanwhile. Nothing is shared between contexts, so nothing crosses from one caller to another.

use crate::{
    Id,
    context::Context,
    error::{Error, Result},
    model::Model,
    page::Page,
    store::Store,
};
use parking_lot::Mutex;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};
use tokio::sync::oneshot;

/// The open batches of one context, one per model.
#[derive(Default)]
pub(crate) struct Batches(Mutex<HashMap<TypeId, Box<dyn Any + Send>>>);

/// Who waits for which ids.
type Waiting<M> = HashMap<Id<M>, Vec<oneshot::Sender<Result<M>>>>;

impl Batches {
    /// Joins the open batch; says whether this call opened it and so has to lead.
    fn join<M: Model>(&self, id: Id<M>) -> (oneshot::Receiver<Result<M>>, bool) {
        let (sender, receiver) = oneshot::channel();
        let mut open = self.0.lock();
        let leads = !open.contains_key(&TypeId::of::<M>());
        let batch = open.entry(TypeId::of::<M>()).or_insert_with(|| Box::new(Waiting::<M>::new()));
        if let Some(waiting) = batch.downcast_mut::<Waiting<M>>() {
            waiting.entry(id).or_default().push(sender);
        }
        (receiver, leads)
    }
    fn close<M: Model>(&self) -> Waiting<M> {
        let batch = self.0.lock().remove(&TypeId::of::<M>());
        batch.and_then(|batch| batch.downcast().ok()).map(|waiting| *waiting).unwrap_or_default()
    }
}

/// Closes the batch even when its leader is dropped while it waits: the others then lead on their own.
struct Lead<'a, M: Model>(&'a Batches, std::marker::PhantomData<fn() -> M>);
impl<M: Model> Drop for Lead<'_, M> {
    fn drop(&mut self) {
        self.0.close::<M>();
    }
}

/// One row, asked for together with all others that this context asks for at the same moment.
pub(crate) async fn get<M: Model>(ctx: &Context, store: &Arc<dyn Store<M>>, id: Id<M>) -> Result<M> {
    loop {
        let (mut receiver, leads) = ctx.batches().join(id);
        if leads {
            let waiting = {
                let lead = Lead::<M>(ctx.batches(), std::marker::PhantomData);
                tokio::task::yield_now().await;
                let waiting = ctx.batches().close::<M>();
                std::mem::forget(lead);
                waiting
            };
            answer(ctx, store, waiting).await;
            return receiver.try_recv().unwrap_or_else(|_| Err(Error::internal("a batch was not answered")));
        }
        if let Ok(result) = receiver.await {
            return result;
        }
    }
}

async fn answer<M: Model>(ctx: &Context, store: &Arc<dyn Store<M>>, mut waiting: Waiting<M>) {
    let ids: Vec<Id<M>> = waiting.keys().copied().collect();
    if let [id] = ids[..] {
        let result = store.get(ctx, id).await;
        tell(waiting.remove(&id), &result);
        return;
    }
    for chunk in ids.chunks(usize::try_from(Page::MAX).unwrap_or(1)) {
        match store.get_many(ctx, chunk).await {
            Ok(rows) => {
                for row in rows {
                    tell(waiting.remove(&row.id()), &Ok(row));
                }
                for id in chunk {
                    tell(waiting.remove(id), &Err(Error::not_found(M::PATH, id)));
                }
            }
            Err(error) => chunk.iter().for_each(|id| tell(waiting.remove(id), &Err(error.clone()))),
        }
    }
}

fn tell<M: Clone>(waiting: Option<Vec<oneshot::Sender<Result<M>>>>, result: &Result<M>) {
    for sender in waiting.into_iter().flatten() {
        // one who no longer waits has been cancelled
        let _ = sender.send(result.clone());
    }
}
