//! A few threads with a connection each, which take what is asked of the database in turn.

use crate::db::open::Url;
use cirro_models::{Error, Result, sql::AnyConnection};
use diesel::r2d2::R2D2Connection;
use parking_lot::Mutex;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

/// How many queries may wait; more are refused, so that a slow database shows as a clear answer.
const QUEUE: usize = 4096;
/// How long a query may wait for its turn in a full queue.
const PATIENCE: Duration = Duration::from_secs(5);

type Query = Box<dyn FnOnce(&mut AnyConnection) + Send>;

/// The threads; they end when the pool is dropped.
pub(crate) struct Pool(mpsc::Sender<Query>);

impl Pool {
    pub(crate) fn start(connections: Vec<AnyConnection>, url: &Url) -> Result<Self> {
        let (sender, receiver) = mpsc::channel::<Query>(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        for (n, connection) in connections.into_iter().enumerate() {
            let (receiver, url) = (receiver.clone(), url.clone());
            thread::Builder::new()
                .name(format!("db-{n}"))
                .spawn(move || work(connection, &url, &receiver))
                .map_err(Error::internal)?;
        }
        Ok(Self(sender))
    }

    /// How many queries wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut AnyConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        // what it logs belongs to the request that asked
        let span = Span::current();
        let query: Query = Box::new(move |c| {
            // nobody may wait any longer: then the answer is dropped
            let outcome = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| query(c))));
            let _ = answer.send(outcome.unwrap_or_else(|_| Err(Error::internal("a query panicked"))));
        });
        if self.0.send_timeout(query, PATIENCE).await.is_err() {
            return Err(Error::unavailable("the database is overloaded: try again in a moment"));
        }
        answered.await.map_err(|_| Error::internal("a database thread ended"))?
    }
}

fn work(mut connection: AnyConnection, url: &Url, queue: &Mutex<mpsc::Receiver<Query>>) {
    loop {
        let next = queue.lock().blocking_recv();
        let Some(query) = next else { return };
        if connection.is_broken() {
            match url.connect() {
                Ok(new) => connection = new,
                Err(error) => tracing::error!(%error, "the database connection is lost and can't be opened again"),
            }
        }
        query(&mut connection);
    }
}
