//! Who waits for changes is woken by those that concern it, and by no others.

#![allow(clippy::unwrap_used, clippy::default_trait_access, reason = "in tests a panic is the report")]

use cirro_models::{
    Name, Result, Service, Verbs,
    feed::Change,
    identity::{User, user::NewUser},
    sql::AnyConnection,
};
use cirro_server::{
    Database, Owner, OwnerContext, Plain,
    db::{Concerned, Migrations, Wakes},
    owner::Running,
    testkit::{Actors, Backend},
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

const TABLES: EmbeddedMigrations = embed_migrations!("../../identity/migrations");
const LIMIT: Duration = Duration::from_secs(30);

/// Each row's change concerns whoever has the row's id.
#[allow(clippy::unnecessary_wraps, reason = "this is what one that reads rows looks like")]
fn itself(_: &mut AnyConnection, changes: &[Change]) -> Result<Concerned> {
    Ok(Concerned::These(changes.iter().map(|change| change.id).collect()))
}

#[allow(clippy::unnecessary_wraps, reason = "this is what one that reads rows looks like")]
fn everybody(_: &mut AnyConnection, _: &[Change]) -> Result<Concerned> {
    Ok(Concerned::All)
}

fn process(database: &Database) -> Running {
    let owner = Owner::new(Service::Identity, database.clone()).owns::<User>(Plain);
    Owner::mount_together(vec![owner]).remove(0)
}

async fn user(running: &Running, name: &str) -> User {
    let new = NewUser {
        name: Name::parse(name).unwrap(),
        full_name: None,
        enabled: None,
        password: None,
        labels: Default::default(),
    };
    let operator = Actors::new().operator().inside(running);
    User::create(&operator, new).await.unwrap().model
}

async fn touch(running: &Running, user: &User, text: &str) {
    let (id, text) = (user.id, Some(text.to_owned()));
    running
        .own_context()
        .write(move |tx| tx.change(id, |user: &mut User| user.full_name.clone_from(&text)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_change_wakes_whom_it_concerns_and_nobody_else() {
    for backend in Backend::BOTH {
        let scratch = backend.open(Migrations(TABLES)).await.unwrap();
        let running = process(&scratch.database);
        let (one, other) = (user(&running, "one").await, user(&running, "other").await);
        let wakes = Wakes::new(itself);
        let mut ours = wakes.of(&scratch.database, one.id.uuid()).await.unwrap();
        let theirs = wakes.of(&scratch.database, other.id.uuid()).await.unwrap();
        let before = *ours.borrow_and_update();
        assert!(before.is_some(), "what was committed before is known to have been");
        for text in ["first", "second"] {
            touch(&running, &one, text).await;
            timeout(LIMIT, ours.changed()).await.expect("it is woken").unwrap();
            assert!(*ours.borrow_and_update() > before);
        }
        assert!(!theirs.has_changed().unwrap(), "it was woken by what is not its own");
    }
}

#[tokio::test]
async fn where_it_is_not_known_whom_a_change_concerns_everybody_is_woken() {
    let scratch = Backend::Sqlite.open(Migrations(TABLES)).await.unwrap();
    let running = process(&scratch.database);
    let wakes = Wakes::new(everybody);
    let mut bell = wakes.of(&scratch.database, Uuid::now_v7()).await.unwrap();
    let one = user(&running, "one").await;
    timeout(LIMIT, bell.changed()).await.expect("it is woken").unwrap();
    let rung = *bell.borrow_and_update();
    // who comes later reads everything first, and is told of nothing that it has read
    let later = wakes.of(&scratch.database, Uuid::now_v7()).await.unwrap();
    assert_eq!(*later.borrow(), rung);
    touch(&running, &one, "again").await;
    timeout(LIMIT, bell.changed()).await.expect("it is woken again").unwrap();
}

#[tokio::test]
async fn another_processs_commits_wake_too() {
    let scratch = Backend::Postgres.open(Migrations(TABLES)).await.unwrap();
    let second = Database::open(&scratch.url, Migrations(TABLES)).await.unwrap();
    let (here, there) = (process(&scratch.database), process(&second));
    let one = user(&here, "one").await;
    let wakes = Wakes::new(itself);
    let mut bell = wakes.of(&scratch.database, one.id.uuid()).await.unwrap();
    bell.mark_unchanged();
    touch(&there, &one, "from elsewhere").await;
    timeout(LIMIT, bell.changed()).await.expect("it is woken").unwrap();
}
