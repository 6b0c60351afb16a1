//! The test service, reached four ways over either database.

use crate::{
    bus::{Bus, Through},
    models::{Badge, Badges, Boat, Chart, Charts, Harbour, Voyage, Voyages, compute, identity},
    record::Recording,
};
use cirro_client::Http;
use cirro_models::{
    Context, Id, Result, Service, Stores, Verbs,
    compute::Node,
    feed::Position,
    sql::{AnyConnection, Table},
};
use cirro_server::{
    Owner, Plain, Tx,
    owner::Running,
    testkit::{Actor, Actors, Backend, Scratch, Server},
};
use diesel::{RunQueryDsl, sql_query};
use std::{sync::Arc, time::Duration};

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

/// How a model is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In the owner.
    Local,
    /// From another owner in the same process.
    Mounted,
    /// Over HTTP.
    Remote,
    /// Over HTTPS through nginx, by a caller who has nothing but a token.
    Bus,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Local, Self::Mounted, Self::Remote, Self::Bus];
    /// Those that have a wire.
    pub(crate) const WIRES: [Self; 2] = [Self::Remote, Self::Bus];
}

/// Two services in one process, a third process that reaches them over HTTP, nginx before them where it is asked for, and
/// the people who call.
pub(crate) struct Site {
    pub actors: Actors,
    /// Owns harbours, boats, charts and badges.
    pub compute: Running,
    /// Owns voyages, beside `compute`.
    pub identity: Running,
    /// Owns voyages too, but in a process of its own.
    pub alone: Running,
    /// Serves `compute`.
    pub server: Server,
    through: Arc<Through>,
    _scratch: [Scratch; 3],
}

impl Site {
    pub(crate) async fn open(backend: Backend) -> Self {
        let scratch = [
            backend.open(compute()).await.unwrap(),
            backend.open(identity()).await.unwrap(),
            backend.open(identity()).await.unwrap(),
        ];
        let [first, second, third] = &scratch;
        let owner = Owner::new(Service::Compute, first.database.clone())
            .owns::<Harbour>(Plain)
            .owns::<Boat>(Plain)
            .owns::<Chart>(Charts)
            .owns::<Badge>(Badges);
        let beside = Owner::new(Service::Identity, second.database.clone()).owns::<Voyage>(Voyages);
        let mut together = Owner::mount_together(vec![owner, beside]).into_iter();
        let (compute, identity) = (together.next().unwrap(), together.next().unwrap());
        let actors = Actors::new();
        let server = Server::start(vec![compute.clone()], &actors).await;
        let alone = Owner::new(Service::Identity, third.database.clone()).owns::<Voyage>(Voyages);
        let alone = alone.alone(server.http.clone());
        let mut behind = vec![compute.clone(), alone.clone()];
        // a site has all services; these own nothing here
        for service in [Service::Storage, Service::Images] {
            behind.push(Owner::new(service, first.database.clone()).alone(server.http.clone()));
        }
        let through = Arc::new(Through::new(behind, actors.verifier.clone()));
        Self { actors, compute, identity, alone, server, through, _scratch: scratch }
    }
    /// The process from which models are reached this way, if it is one of the site's.
    fn process(&self, way: Way) -> Option<&Running> {
        match way {
            Way::Local => Some(&self.compute),
            Way::Mounted => Some(&self.identity),
            Way::Remote => Some(&self.alone),
            Way::Bus => None,
        }
    }
    /// A caller's stores: everything is behind nginx.
    fn outside(&self) -> Arc<Stores> {
        Arc::new(Stores::default().elsewhere(self.through.clone()))
    }
    /// A request of this actor, where models are reached this way.
    pub(crate) fn context(&self, way: Way, actor: &Actor) -> Context {
        let outside = || Context::client(self.outside(), Some(actor.token.clone()));
        self.process(way).map_or_else(outside, |process| actor.inside(process))
    }
    /// A request of somebody who shows no token.
    pub(crate) fn nobody(&self, way: Way) -> Context {
        let stores = self.process(way).map_or_else(|| self.outside(), |process| process.stores.clone());
        Context::client(stores, None)
    }
    /// A client of `compute`: of nginx, or of the server itself.
    pub(crate) async fn http(&self, way: Way) -> Arc<Http> {
        if way == Way::Bus { self.bus().await.http.clone() } else { self.server.http.clone() }
    }
    /// nginx before the services.
    pub(crate) async fn bus(&self) -> &Bus {
        self.through.bus().await
    }
    /// Everybody who may call, by name, the one without a token last.
    pub(crate) fn everybody(&self, way: Way) -> Vec<(&'static str, Context)> {
        let a = &self.actors;
        let people = [
            ("operator", a.operator()),
            ("admin", a.admin()),
            ("member", a.member()),
            ("viewer", a.viewer()),
            ("outsider", a.outsider()),
            ("stranger", a.stranger()),
            ("node", a.node()),
        ];
        let contexts = people.iter().map(|(name, actor)| (*name, self.context(way, actor)));
        contexts.chain([("nobody", self.nobody(way))]).collect()
    }
    /// The node whose agent is [`Actors::node`].
    pub(crate) fn node(&self) -> Id<Node> {
        self.actors.node().subject().node().unwrap()
    }
    /// A change that the service itself makes.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let service = self.compute.own_context();
        self.compute.database().write(service.subject(), None, change).await
    }
    /// The end of the feed, once its readers see all that is committed: on PostgreSQL an open transaction of another
    /// test holds them back.
    pub(crate) async fn settled(&self) -> Position {
        let count =
            |c: &mut AnyConnection| sql_query("SELECT count(*) AS n FROM change").get_result::<Count>(c).unwrap().n;
        let (database, feed) = (self.compute.database(), self.compute.database().feed());
        let start = Position { epoch: feed.epoch(), transaction: 0, sequence: 0 };
        let all_seen = || {
            let feed = feed.clone();
            database.read(move |c| Ok(count(c) == i64::try_from(feed.after(c, start, i64::MAX)?.len()).unwrap()))
        };
        eventually("all of the feed can be read", || async { all_seen().await.unwrap() }).await;
        let feed = feed.clone();
        database.read(move |c| feed.end(c)).await.unwrap()
    }
    /// How many mutating requests are on record.
    pub(crate) async fn records(&self) -> i64 {
        let count = |c: &mut AnyConnection| {
            sql_query("SELECT count(*) AS n FROM request").get_result::<Count>(c).map_err(cirro_models::Error::internal)
        };
        self.compute.database().read(count).await.unwrap().n
    }
    /// How many rows of a model there are, whoever's they are.
    pub(crate) async fn count<M: Table>(&self) -> usize {
        self.write(|tx| tx.list::<M>(&M::Filter::default(), 10_000)).await.unwrap().len()
    }
    /// Makes rows with this actor's rights.
    pub(crate) async fn make<M: Table>(&self, actor: &Actor, new: impl IntoIterator<Item = M::New>) -> Vec<M> {
        let ctx = self.context(Way::Local, actor);
        let mut rows = Vec::new();
        for new in new {
            rows.push(M::create(&ctx, new).await.unwrap().model);
        }
        rows
    }
}

/// Records the same over every store and database, and compares each answer with that of the owner on SQLite.
pub(crate) async fn over_all<F: Future<Output = Recording>>(script: impl Fn(Arc<Site>, Way) -> F) -> Recording {
    let open = |backend| async move { Arc::new(Site::open(backend).await) };
    let first = script(open(Backend::Sqlite).await, Way::Local).await;
    for backend in Backend::BOTH {
        for way in Way::ALL {
            let which = format!("{way:?} on {backend:?} (left) and locally on SQLite (right)");
            script(open(backend).await, way).await.assert_same(&first, &which);
        }
    }
    first
}

/// Waits until this is so, at most 20 s.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..4000 {
        if is_so().await {
            return;
        }
        look.tick().await;
    }
    panic!("never: {what}");
}

/// Runs the same over each database.
pub(crate) async fn on_both<F: Future<Output = ()>>(test: impl Fn(Arc<Site>) -> F) {
    for backend in Backend::BOTH {
        println!("on {backend:?}");
        test(Arc::new(Site::open(backend).await)).await;
    }
}
