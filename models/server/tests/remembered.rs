//! Rows that an owner remembers: a read after a write sees the write, whatever the way of either, and permission is
//! asked of a remembered row as of any other.

#![allow(clippy::unwrap_used, clippy::default_trait_access, reason = "in tests a panic is the report")]

use cirro_models::{
    Context, Error, Generation, Id, Meta, Name, Result, Service, Store, Verbs,
    identity::{
        User,
        user::{NewUser, UserPatch},
    },
};
use cirro_server::{
    Controller, Owner, OwnerContext, Plain, Tx,
    db::Migrations,
    owner::Running,
    testkit::{Actor, Actors, Backend, Scratch, Server},
};
use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use std::sync::Arc;

const TABLES: EmbeddedMigrations = embed_migrations!("../../identity/migrations");

struct Site {
    running: Running,
    server: Server,
    actors: Actors,
    scratch: Scratch,
}

impl Site {
    async fn start(backend: Backend, controller: impl Controller<User>) -> Self {
        let scratch = backend.open(Migrations(TABLES)).await.unwrap();
        let owner = Owner::new(Service::Identity, scratch.database.clone()).owns::<User>(controller);
        let running = Owner::mount_together(vec![owner]).remove(0);
        let actors = Actors::new();
        let server = Server::start(vec![running.clone()], &actors).await;
        Self { running, server, actors, scratch }
    }
    fn store(&self) -> Arc<dyn Store<User>> {
        self.running.stores.of::<User>().unwrap()
    }
    fn operator(&self) -> Context {
        self.actors.operator().inside(&self.running)
    }
    async fn user(&self, name: &str) -> User {
        let new = NewUser {
            name: Name::parse(name).unwrap(),
            full_name: None,
            enabled: None,
            password: None,
            labels: Default::default(),
        };
        User::create(&self.operator(), new).await.unwrap().model
    }
    /// The row as each way tells it; they must agree.
    async fn seen(&self, id: Id<User>) -> Result<User> {
        let inside = self.store().get(&self.operator(), id).await;
        let over = User::get(&self.actors.operator().over(&self.server), id).await;
        let many = self.store().get_many(&self.operator(), &[id]).await.unwrap().pop();
        assert_eq!(inside.as_ref().ok(), over.as_ref().ok());
        assert_eq!(inside.as_ref().ok(), many.as_ref());
        inside
    }
    /// Writes as the service, after the row was read, so that what is remembered would be old.
    async fn after<T: Send + 'static>(
        &self,
        id: Id<User>,
        write: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) {
        assert_eq!(self.seen(id).await.unwrap(), self.seen(id).await.unwrap());
        self.running.own_context().write(write).await.unwrap();
    }
}

fn called(full_name: &str) -> UserPatch {
    UserPatch { full_name: Some(Some(full_name.to_owned())), ..UserPatch::default() }
}

#[actix_web::test]
async fn a_write_by_any_way_is_seen_by_the_next_read() {
    for backend in Backend::BOTH {
        let site = Site::start(backend, Plain).await;
        let id = site.user("ada").await.id;
        let full_name = async || site.seen(id).await.unwrap().full_name.unwrap_or_default();

        site.after(id, move |tx| tx.patch(id, called("patched"), None)).await;
        assert_eq!(full_name().await, "patched");
        site.after(id, move |tx| tx.change::<User>(id, |user| user.full_name = Some("changed".to_owned()))).await;
        assert_eq!(full_name().await, "changed");
        User::update(&site.actors.operator().over(&site.server), id, called("over HTTP")).await.unwrap();
        assert_eq!(full_name().await, "over HTTP");
        let mut whole = site.seen(id).await.unwrap();
        whole.full_name = Some("saved".to_owned());
        whole.save(&site.actors.operator().over(&site.server)).await.unwrap();
        assert_eq!(full_name().await, "saved");

        site.after(id, move |tx| tx.begin_delete::<User>(id, |_| ())).await;
        let row = site.seen(id).await.unwrap();
        assert!(row.meta.deleted_at.is_some());
        let gone = row.clone();
        site.after(id, move |tx| tx.remove(&gone)).await;
        assert!(matches!(site.seen(id).await, Err(Error::NotFound { .. })));
        // the same id again, as when a guest is adopted
        let again = User { meta: Meta::created("test"), ..row };
        site.running.own_context().write(move |tx| tx.insert(&again)).await.unwrap();
        assert_eq!(site.seen(id).await.unwrap().meta.deleted_at, None);
    }
}

#[actix_web::test]
async fn a_write_that_is_refused_changes_nothing_that_is_read() {
    let site = Site::start(Backend::Sqlite, Plain).await;
    let id = site.user("ada").await.id;
    let before = site.seen(id).await.unwrap();
    let ctx = site.running.own_context();
    let refused = ctx.write(move |tx| {
        tx.patch(id, called("never"), None)?;
        Err::<(), _>(Error::conflict("on second thoughts"))
    });
    assert!(refused.await.is_err());
    assert_eq!(site.seen(id).await.unwrap(), before);
}

#[actix_web::test]
async fn permission_is_asked_of_a_remembered_row() {
    let site = Site::start(Backend::Sqlite, Plain).await;
    let user = site.user("ada").await;
    let path = format!("/identity/v1/user/{}", user.id);
    let status = async |actor: &Actor, tag: Option<&str>| {
        let headers: Vec<_> = tag.map(|tag| ("if-none-match", tag)).into_iter().collect();
        let ctx = actor.over(&site.server);
        site.server.http.answer(&ctx, "GET", &path, None, &headers).await.unwrap().status
    };
    let (operator, member) = (site.actors.operator(), site.actors.member());
    for _ in 0..2 {
        // read by the operator, and so remembered
        assert_eq!(site.seen(user.id).await.unwrap(), user);
        let inside = site.store().get(&member.inside(&site.running), user.id).await;
        assert!(matches!(inside, Err(Error::NotFound { .. })));
        assert_eq!(status(&member, None).await, 404);
        // knowing the tag does not help
        assert_eq!(status(&member, Some("\"1\"")).await, 404);
        assert_eq!(status(&operator, Some("\"1\"")).await, 304);
        assert_eq!(status(&operator, Some("\"0\"")).await, 200);
    }
}

#[actix_web::test]
async fn the_remembered_answer_is_the_first_one_and_the_tag_moves_with_the_row() {
    let site = Site::start(Backend::Sqlite, Plain).await;
    let user = site.user("ada").await;
    let first = site.seen(user.id).await.unwrap();
    assert_eq!(site.seen(user.id).await.unwrap(), first);
    assert_eq!(first.meta.version, Generation::new(1));
    let changed = User::update(&site.operator(), user.id, called("Ada")).await.unwrap();
    assert_eq!(site.seen(user.id).await.unwrap().meta.version, changed.meta.version);
}

#[actix_web::test]
async fn rows_are_remembered_on_sqlite_and_never_on_postgres() {
    for backend in Backend::BOTH {
        let site = Site::start(backend, Plain).await;
        let id = site.user("ada").await.id;
        site.seen(id).await.unwrap();
        // behind the owner's back, which nobody but a test does: what is remembered does not notice
        let sql = "UPDATE \"user\" SET full_name = 'behind'";
        let behind = move |tx: &mut Tx<'_>| tx.connection().batch_execute(sql).map_err(Error::internal);
        site.running.own_context().write(behind).await.unwrap();
        let told = site.store().get(&site.operator(), id).await.unwrap().full_name;
        assert_eq!(told.is_none(), site.scratch.database.is_exclusive());
    }
}

#[actix_web::test]
async fn a_controller_that_tells_more_than_rows_is_asked_every_time() {
    struct Counting(std::sync::atomic::AtomicU32);
    #[async_trait::async_trait]
    impl Controller<User> for Counting {
        async fn get_many(&self, ctx: &Context, ids: &[Id<User>]) -> Result<Vec<User>> {
            let mut rows: Vec<User> = Plain.get_many(ctx, ids).await?;
            let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            for row in &mut rows {
                row.full_name = Some(asked.to_string());
            }
            Ok(rows)
        }
        fn remembers(&self) -> bool {
            false
        }
    }
    let site = Site::start(Backend::Sqlite, Counting(Default::default())).await;
    let id = site.user("ada").await.id;
    let first = site.store().get(&site.operator(), id).await.unwrap();
    assert_ne!(site.store().get(&site.operator(), id).await.unwrap(), first);
}
