//! Who asks, in which project, until when, under which request id, and how models are reached.

use crate::{
    Id,
    batch::Batches,
    error::{Error, Result},
    identity::{Project, Secret},
    store::Stores,
    subject::Subject,
    trace::Trace,
};
use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long a request may take when its caller says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The circumstances of one request. Cheap to clone; clones share the batches and the count of calls.
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
    subject: Subject,
    stores: Arc<Stores>,
    deadline: Instant,
    trace: Trace,
    key: Option<Arc<str>>,
    request: Option<Arc<dyn Any + Send + Sync>>,
}

struct Shared {
    request_id: String,
    token: Option<Secret>,
    batches: Batches,
    steps: AtomicU32,
}

impl Context {
    /// The context of a client: whoever the token names. The services verify it; here it reaches nothing.
    pub fn client(stores: Arc<Stores>, token: Option<Secret>) -> Self {
        Self::new(stores, Subject::bearer(), token, Uuid::now_v7().to_string())
    }
    /// The context of a request whose subject was verified here, or of a service's own work.
    #[cfg(feature = "sql")]
    pub fn verified(stores: Arc<Stores>, subject: Subject, token: Option<Secret>, request_id: String) -> Self {
        Self::new(stores, subject, token, request_id)
    }
    fn new(stores: Arc<Stores>, subject: Subject, token: Option<Secret>, request_id: String) -> Self {
        let shared = Shared { request_id, token, batches: Batches::default(), steps: AtomicU32::new(0) };
        let deadline = Instant::now() + DEFAULT_TIMEOUT;
        Self { shared: Arc::new(shared), subject, stores, deadline, trace: Trace::begin(), key: None, request: None }
    }
    /// The same under this request id: several calls of one command, say.
    #[must_use]
    pub fn named(self, request_id: impl Into<String>) -> Self {
        let token = self.shared.token.clone();
        let request_id = request_id.into();
        let shared = Shared { request_id, token, batches: Batches::default(), steps: AtomicU32::new(0) };
        Self { shared: Arc::new(shared), ..self }
    }
    /// The same as a part of this trace.
    #[must_use]
    pub fn in_trace(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }
    /// The same with another deadline.
    #[must_use]
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = deadline;
        self
    }
    /// The same with this idempotency key: the mutating call made with it has one effect, however often it is sent.
    #[must_use]
    pub fn keyed(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }
    /// The same for a call to another owner in this process: its stores, and a batch of its own, because what one owner
    /// may read is not what another may. It has no key: a call that changes something is [`Self::keyed`] with
    /// [`Self::next_key`].
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn entering(&self, stores: Arc<Stores>) -> Self {
        let mut inner =
            Self::new(stores, self.subject.clone(), self.shared.token.clone(), self.shared.request_id.clone());
        (inner.deadline, inner.trace) = (self.deadline, self.trace);
        inner
    }
    /// The same with the server's note of the request that is being answered.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn answering(mut self, request: Arc<dyn Any + Send + Sync>) -> Self {
        self.request = Some(request);
        self
    }
    /// The same as a service of its own right: work that nobody asked for just now.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn with_subject(&self, subject: Subject) -> Self {
        let mut own = Self::new(self.stores.clone(), subject, None, self.shared.request_id.clone());
        (own.deadline, own.trace) = (self.deadline, self.trace);
        own
    }
    /// The server's note of the request that is being answered.
    #[cfg(feature = "sql")]
    pub fn request<R: Any + Send + Sync>(&self) -> Option<Arc<R>> {
        self.request.clone().and_then(|request| request.downcast().ok())
    }
    /// Who asks.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }
    /// The project that the caller works in.
    pub fn project(&self) -> Result<Id<Project>> {
        self.subject.project().ok_or_else(|| {
            Error::forbidden("this needs a project: log in with one (`cirro login --project NAME`, or \"project\" in the token request)")
        })
    }
    /// Finds this request in all logs.
    pub fn request_id(&self) -> &str {
        &self.shared.request_id
    }
    /// Where it stands in a trace that spans processes.
    pub fn trace(&self) -> Trace {
        self.trace
    }
    /// The caller's token, to be handed on to the owner of what is asked for.
    pub fn token(&self) -> Option<&Secret> {
        self.shared.token.as_ref()
    }
    /// The idempotency key of the request.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
    /// The key of the next call that this request makes elsewhere, derived from its own: the same when it is repeated.
    pub fn child_key(&self) -> Option<String> {
        let step = self.shared.steps.fetch_add(1, Ordering::Relaxed);
        self.key.as_ref().map(|key| format!("{key}/{step}"))
    }
    /// The key of the next mutating call that is made with this context: its own, as its caller said, or, once the server
    /// is answering a request with it, one derived for each step, so that two steps never meet under one key.
    pub fn next_key(&self) -> Option<String> {
        if self.request.is_some() { self.child_key() } else { self.key().map(str::to_owned) }
    }
    /// The same for one call, with the key that it is made under.
    #[must_use]
    pub(crate) fn calling(&self, key: Option<String>) -> Self {
        Self { key: key.map(Into::into), request: None, ..self.clone() }
    }
    /// How models are reached.
    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }
    /// The `get`s that wait to become one call.
    pub(crate) fn batches(&self) -> &Batches {
        &self.shared.batches
    }
    /// The time that is left, or the error that none is.
    pub fn remaining(&self) -> Result<Duration> {
        match self.deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(Error::DeadlineExceeded {
                detail: "the request's time is over: repeat it, with more time".to_owned(),
            }),
        }
    }
}
