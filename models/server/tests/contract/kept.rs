//! What a database keeps, for how long, and who may have it open.

use crate::{
    models::{Boat, compute, new_boat},
    site::{Way, eventually, on_both},
};
use cirro_models::{Error, Service, Timestamp, Verbs, sql::AnyConnection};
use cirro_server::{
    Database, Owner, Plain,
    owner::Running,
    testkit::{Actors, Backend, Scratch},
};
use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use std::time::Duration;

/// A day and an hour.
const LATER: i64 = 25 * 60 * 60 * 1_000_000;

fn boats(database: &Database) -> Running {
    let owner = Owner::new(Service::Compute, database.clone()).owns::<Boat>(Plain);
    Owner::mount_together(vec![owner]).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_day_changes_and_answers_are_forgotten_but_not_who_did_what() {
    on_both(|site| async move {
        let (member, way) = (site.actors.member(), Way::Local);
        let ctx = || site.context(way, &member).keyed("a key");
        let from = site.settled().await;
        let first = Boat::create(&ctx(), new_boat("first")).await.unwrap();
        let last = site.make::<Boat>(&member, [new_boat("last")]).await.remove(0);
        let end = site.settled().await;
        let forget =
            async |now| site.compute.database().forget(site.compute.own_context().subject(), now).await.unwrap();

        forget(Timestamp::now()).await;
        assert_eq!(Boat::watch(&ctx(), Some(from), Duration::ZERO).await.unwrap().items.len(), 2, "all of it is new");
        assert_eq!(Boat::create(&ctx(), new_boat("first")).await.unwrap(), first);

        let records = site.records().await;
        forget(Timestamp::from_micros(Timestamp::now().micros() + LATER)).await;
        for way in Way::ALL {
            let ctx = site.context(way, &member);
            let gone = Boat::watch(&ctx, Some(from), Duration::ZERO).await;
            assert!(matches!(&gone, Err(Error::Gone { .. })), "{gone:?}");
            let none = Boat::watch(&ctx, Some(end), Duration::ZERO).await.unwrap();
            assert_eq!((none.items, none.position), (vec![], end), "who had read everything goes on");
        }
        let next = site.make::<Boat>(&member, [new_boat("next")]).await.remove(0);
        let seen = Boat::watch(&ctx(), Some(end), Duration::from_secs(20)).await.unwrap();
        assert_eq!(seen.items.iter().map(|change| change.id).collect::<Vec<_>>(), [next.id.uuid()]);
        let again = Boat::create(&ctx(), new_boat("again")).await.unwrap();
        assert_ne!(again.id, first.id, "the key is free again");
        assert_eq!(site.records().await, records + 2);
        assert_eq!(Boat::get(&ctx(), last.id).await.unwrap(), last);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_on_one_new_database_agree() {
    let scratch = Backend::Postgres.open(compute()).await.unwrap();
    let anew = |c: &mut AnyConnection| {
        c.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").map_err(Error::internal)
    };
    scratch.database.read(anew).await.unwrap();
    let opened = join_all((0..6).map(|_| Database::open(&scratch.url, compute()))).await;
    let epochs: Vec<i64> = opened.into_iter().map(|database| database.unwrap().feed().epoch()).collect();
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_hears_of_a_commit() {
    let scratch = Backend::Postgres.open(compute()).await.unwrap();
    let other = Database::open(&scratch.url, compute()).await.unwrap();
    let writer = boats(&scratch.database);
    let member = Actors::new().member();
    let commits = other.feed().commits();
    let heard = || async {
        let new = new_boat(&format!("b{}", uuid::Uuid::now_v7()));
        Boat::create(&member.inside(&writer), new).await.unwrap();
        commits.has_changed().unwrap()
    };
    eventually("the other process is woken", heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_database_belongs_to_one_process() {
    let scratch = Backend::Sqlite.open(compute()).await.unwrap();
    let Err(Error::Unavailable { detail, .. }) = Database::open(&scratch.url, compute()).await else {
        panic!("it was opened twice")
    };
    assert!(detail.contains("another process has the database") && detail.contains("--database postgres"), "{detail}");
    let Scratch { database, url, .. } = scratch;
    drop(database);
    Database::open(&url, compute()).await.unwrap();
}
