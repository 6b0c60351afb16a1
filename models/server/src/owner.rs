//! A service put together: which models it owns, on one screen.

use crate::{
    api_keys::{ApiKeys, AtIdentity, Exchange},
    audit::Audit,
    controller::{Controller, Whose},
    db::Database,
    http::{self, Charges, MountedModel, Room, Sockets},
    local::Local,
    mounted::{Door, Mounted},
    queue::{Job, Pace, Works},
    requests::Requests,
    token::Verifier,
};
use actix_web::web::ServiceConfig;
use async_trait::async_trait;
use cirro_models::{
    Context, Result, Service, Stores, Subject, Timestamp,
    feed::{Change, Changes, Position},
    permission::Operation,
    sql::{AnyConnection, Table},
};
use futures_util::future::BoxFuture;
use std::{
    any::Any,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How often there is a look for what can be forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(15 * 60);

/// Adds routes that are no model's.
pub type Routes = fn(&mut ServiceConfig);

/// Adds the operations of such routes to the OpenAPI document.
pub type Describe = fn(&mut utoipa::openapi::OpenApi);

/// Things that a service counts when it is asked for metrics.
pub struct Census {
    /// As metrics name them: `cirro_instances`.
    pub name: &'static str,
    /// What they are, in a sentence.
    pub what: &'static str,
    /// The label that divides them; its values are a closed list.
    pub by: &'static str,
    /// How many there are of each.
    pub counts: Vec<(String, i64)>,
}

/// Counts them.
pub type Count = fn(Database) -> BoxFuture<'static, Result<Vec<Census>>>;

/// A service: its models, its database, and what else it answers.
pub struct Owner {
    pub(crate) service: Service,
    pub(crate) models: Vec<Arc<dyn OwnedModel>>,
    pub(crate) routes: Vec<Routes>,
    pub(crate) describes: Vec<Describe>,
    pub(crate) works: Works,
    pub(crate) sockets: Room,
    pub(crate) audit: Option<Audit>,
    pub(crate) charges: Option<Charges>,
    counts: Vec<Count>,
    exchange: Option<Arc<dyn Exchange>>,
    database: Database,
    stores: Stores,
    door: Door,
}

/// A model of an owner, with its type forgotten.
#[async_trait]
pub(crate) trait OwnedModel: MountedModel {
    /// Makes it reachable from another service in this process.
    fn mount(&self, stores: &mut Stores, door: &Door);
    fn path(&self) -> &'static str;
    /// What its table should look like.
    #[cfg(feature = "testkit")]
    fn shape(&self) -> Shape;
    /// The changes to its rows that the caller may read.
    async fn watch(&self, ctx: &Context, after: Option<Position>, wait: Duration) -> Result<Changes>;
    /// Those of these entries, all of this model, that are about rows that the subject may read.
    fn may_know(&self, c: &mut AnyConnection, subject: &Subject, entries: Vec<Change>) -> Result<Vec<Change>>;
}

/// What a model says of its table.
#[cfg(feature = "testkit")]
pub(crate) struct Shape {
    pub(crate) path: &'static str,
    pub(crate) columns: &'static [(&'static str, &'static str, bool)],
    pub(crate) fields: &'static [cirro_models::model::FieldInfo],
    pub(crate) unique: &'static [&'static str],
}

#[async_trait]
impl<M: Table> OwnedModel for http::Resource<M> {
    fn mount(&self, stores: &mut Stores, door: &Door) {
        stores.put::<M>(Arc::new(Mounted::new(door)));
    }
    fn path(&self) -> &'static str {
        M::PATH
    }
    #[cfg(feature = "testkit")]
    fn shape(&self) -> Shape {
        Shape { path: M::PATH, columns: M::COLUMNS, fields: M::FIELDS, unique: M::UNIQUE }
    }
    async fn watch(&self, ctx: &Context, after: Option<Position>, wait: Duration) -> Result<Changes> {
        ctx.stores().of::<M>()?.watch(ctx, after, wait).await
    }
    fn may_know(&self, c: &mut AnyConnection, subject: &Subject, entries: Vec<Change>) -> Result<Vec<Change>> {
        crate::db::may_know::<M>(c, &M::reach(subject, Operation::Read), entries)
    }
}

impl Owner {
    /// A service with its own database.
    pub fn new(service: Service, database: Database) -> Self {
        let mut stores = Stores::default();
        stores.put_part(Arc::new(database.clone()));
        stores.put_part(Arc::new(Whose(service)));
        Self {
            service,
            models: Vec::new(),
            routes: Vec::new(),
            describes: Vec::new(),
            works: Works::default(),
            sockets: Room::new(Sockets::default()),
            audit: None,
            charges: None,
            counts: Vec::new(),
            exchange: None,
            database,
            stores,
            door: Door::new(OnceLock::new()),
        }
    }
    /// The service owns `M`: its rows are in this database, behind this controller.
    #[must_use]
    pub fn owns<M: Table>(mut self, controller: impl Controller<M>) -> Self {
        let local = Arc::new(Local::new(Arc::new(controller), self.database.clone()));
        self.stores.put::<M>(local.clone());
        // the routes of the model ask it for bytes rather than rows
        self.stores.put_part(local);
        self.models.push(Arc::new(http::Resource::<M>::default()));
        self
    }
    /// The service defers `J`: its workers know how to do it.
    #[must_use]
    pub fn works<J: Job>(mut self) -> Self {
        self.works.add::<J>();
        self
    }
    /// The service also answers these routes.
    #[must_use]
    pub fn answers(mut self, routes: Routes, describe: Describe) -> Self {
        self.routes.push(routes);
        self.describes.push(describe);
        self
    }
    /// What the service accepts of sockets that follow its changes.
    #[must_use]
    pub fn sockets(mut self, limits: Sockets) -> Self {
        self.sockets = Room::new(limits);
        self
    }
    /// What the service's models take of a project's quota, which it tells.
    #[must_use]
    pub fn charges(mut self, charges: Charges) -> Self {
        self.charges = Some(charges);
        self
    }
    /// The service counts this for metrics.
    #[must_use]
    pub fn counts(mut self, count: Count) -> Self {
        self.counts.push(count);
        self
    }
    /// The service finds what has no owner among what it holds.
    #[must_use]
    pub fn audits(mut self, audit: Audit) -> Self {
        self.audit = Some(audit);
        self
    }
    /// The service gives tokens for keys, to all that are in its process.
    #[must_use]
    pub fn exchanges(mut self, exchange: Arc<dyn Exchange>) -> Self {
        self.exchange = Some(exchange);
        self
    }
    /// Controllers of the service share this.
    #[must_use]
    pub fn shares<P: Any + Send + Sync>(mut self, part: Arc<P>) -> Self {
        self.stores.put_part(part);
        self
    }
    /// Which service it is.
    pub fn service(&self) -> Service {
        self.service
    }
    /// Its database.
    pub fn database(&self) -> &Database {
        &self.database
    }
    /// Puts services of one process together: each reaches the others' models without a socket.
    pub fn mount_together(mut owners: Vec<Self>) -> Vec<Running> {
        for at in 0..owners.len() {
            let mut stores = std::mem::take(&mut owners[at].stores);
            for other in owners.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, owner)| owner) {
                other.models.iter().for_each(|model| model.mount(&mut stores, &other.door));
            }
            owners[at].stores = stores;
        }
        let doors: Arc<[Door]> = owners.iter().map(|owner| owner.door.clone()).collect();
        let keys = Arc::new(ApiKeys::new(owners.iter().find_map(|owner| owner.exchange.clone())));
        owners.into_iter().map(|owner| owner.run(doors.clone(), keys.clone())).collect()
    }
    /// The service alone in its process; other services' models are reached over this transport.
    pub fn alone(mut self, transport: Arc<dyn cirro_models::remote::Transport>) -> Running {
        let exchange = self.exchange.clone().unwrap_or_else(|| Arc::new(AtIdentity(transport.clone())));
        self.stores = self.stores.elsewhere(transport);
        let door = self.door.clone();
        self.run([door].into(), Arc::new(ApiKeys::new(Some(exchange))))
    }
    fn run(mut self, together: Arc<[Door]>, keys: Arc<ApiKeys>) -> Running {
        let stores = Arc::new(std::mem::take(&mut self.stores));
        // the door is opened once, here
        let _ = self.door.set(stores.clone());
        let itself = format!("/{}/v1/openapi.json", self.service.name());
        let routes = http::document(&self).paths.paths.into_keys().chain([itself]);
        let requests = Arc::new(Requests::new(self.service, routes));
        Running { owner: Arc::new(self), stores, requests, keys, _together: together }
    }
}

/// A service that is put together and can answer.
#[derive(Clone)]
pub struct Running {
    pub(crate) owner: Arc<Owner>,
    /// How it reaches every model.
    pub stores: Arc<Stores>,
    /// What it has answered.
    pub requests: Arc<Requests>,
    /// The tokens of keys that were shown to the services of this process.
    pub(crate) keys: Arc<ApiKeys>,
    /// The services of this process live as long as one of them does.
    _together: Arc<[Door]>,
}

impl Running {
    /// Which service it is.
    pub fn service(&self) -> Service {
        self.owner.service
    }
    /// Its database.
    pub fn database(&self) -> &Database {
        &self.owner.database
    }
    /// Counts what the service has.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn census(&self) -> Result<Vec<Census>> {
        let mut all = Vec::new();
        for count in &self.owner.counts {
            all.extend(count(self.database().clone()).await?);
        }
        Ok(all)
    }
    /// A context for the service's own work.
    pub fn own_context(&self) -> Context {
        let subject = crate::controller::service_subject(self.owner.service);
        Context::verified(self.stores.clone(), subject, None, uuid::Uuid::now_v7().to_string())
    }
    /// Runs until dropped: does what was deferred, and forgets what its database has kept for long enough.
    pub async fn tend(self) {
        tokio::join!(self.clone().work(Pace::default()), self.forget());
    }
    async fn forget(self) {
        let mut tick = tokio::time::interval(FORGET_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let by = crate::controller::service_subject(self.owner.service);
            if let Err(error) = self.database().forget(&by, Timestamp::now()).await {
                tracing::error!(error = &error as &dyn std::error::Error, "old changes stay for another while");
            }
        }
    }
    /// Its routes, to be configured into an actix-web application.
    pub fn configure(&self, verifier: &Arc<Verifier>) -> impl Fn(&mut ServiceConfig) + Clone + use<> {
        http::configure(self.clone(), verifier.clone())
    }
}
