//! The change feed: who follows it by position misses nothing and sees nothing out of order.

use crate::{
    models::{Boat, new_boat},
    site::{Site, Way, eventually, on_both},
};
use cirro_models::{
    Error, Verbs,
    feed::{Change, ChangeKind, Position},
};
use cirro_server::testkit::Backend;
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

pub(crate) fn start(site: &Site) -> Position {
    Position { epoch: site.compute.database().feed().epoch(), transaction: 0, sequence: 0 }
}

async fn after(site: &Site, position: Position, limit: i64) -> Vec<Change> {
    let feed = site.compute.database().feed().clone();
    site.compute.database().read(move |c| feed.after(c, position, limit)).await.unwrap()
}

/// Each row's versions are complete and in order, and positions only grow.
pub(crate) fn check(seen: &[Change], rows: usize, versions: i64) {
    assert!(seen.windows(2).all(|pair| pair[0].position < pair[1].position), "a position came twice, or went back");
    let mut next: HashMap<_, i64> = HashMap::new();
    for change in seen {
        let expected = next.entry(change.id).or_insert(1);
        assert_eq!(change.version.get(), *expected, "a version of {} is missing or out of order", change.id);
        assert_eq!(change.kind == ChangeKind::Created, *expected == 1);
        *expected += 1;
    }
    assert_eq!(next.len(), rows);
    assert!(next.values().all(|next| *next == versions + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_writers_lose_no_entry_to_a_reader_who_follows() {
    on_both(|site| async move {
        let (writers, versions) = (12usize, 15i64);
        let all = writers * usize::try_from(versions).unwrap();
        let reader = tokio::spawn({
            let site = site.clone();
            async move {
                let seen = Mutex::new(Vec::<Change>::new());
                let look = || async {
                    let last = seen.lock().last().map_or_else(|| start(&site), |change| change.position);
                    let new = after(&site, last, 7).await;
                    seen.lock().extend(new);
                    seen.lock().len() >= all
                };
                eventually("the reader has seen every entry", look).await;
                seen.into_inner()
            }
        });
        let tasks = (0..writers).map(|n| {
            let site = site.clone();
            tokio::spawn(async move {
                let ctx = site.context(Way::Local, &site.actors.member());
                let id = Boat::create(&ctx, new_boat(&format!("b{n}"))).await.unwrap().id;
                for version in 2..=versions {
                    let patch = serde_json::from_value(serde_json::json!({ "note": version.to_string() })).unwrap();
                    Boat::update(&ctx, id, patch).await.unwrap();
                }
            })
        });
        join_all(tasks).await.into_iter().for_each(|task| task.unwrap());
        check(&reader.await.unwrap(), writers, versions);
        site.settled().await;
        check(&after(&site, start(&site), i64::MAX).await, writers, versions);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_early_is_not_shown_before_what_began_earlier() {
    let site = Arc::new(Site::open(Backend::Postgres).await);
    let member = site.actors.member();
    let rows = site.make::<Boat>(&member, [new_boat("slow"), new_boat("quick")]).await;
    let (slow, quick) = (rows[0].id, rows[1].id);
    let from = site.settled().await;
    let ((told, begun), (go, wait)) = (mpsc::channel(), mpsc::channel::<()>());
    let writer = tokio::spawn({
        let (site, wait) = (site.clone(), Mutex::new(wait));
        async move {
            let change = move |tx: &mut cirro_server::Tx<'_>| {
                tx.change::<Boat>(slow, |boat| boat.note = Some("slow".to_owned()))?;
                told.send(()).map_err(Error::internal)?;
                // the test lets it go on
                wait.lock().recv().map_err(Error::internal)
            };
            site.write(change).await
        }
    });
    tokio::task::spawn_blocking(move || begun.recv()).await.unwrap().unwrap();
    site.write(move |tx| tx.change::<Boat>(quick, |boat| boat.note = Some("quick".to_owned()))).await.unwrap();
    assert_eq!(after(&site, from, 100).await, [], "the quick one is committed, but the slow one has the earlier place");
    go.send(()).unwrap();
    writer.await.unwrap().unwrap();
    site.settled().await;
    let ids: Vec<_> = after(&site, from, 100).await.iter().map(|change| change.id).collect();
    assert_eq!(ids, [slow.uuid(), quick.uuid()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_woken_by_a_change_and_goes_on_from_there() {
    on_both(|site| async move {
        for way in Way::ALL {
            let ctx = site.context(way, &site.actors.viewer());
            let from = site.settled().await;
            let watching = tokio::spawn({
                let ctx = ctx.clone();
                async move { Boat::watch(&ctx, Some(from), Duration::from_secs(60)).await }
            });
            let made = site.make::<Boat>(&site.actors.member(), [new_boat(&format!("{way:?}"))]).await.remove(0);
            let seen = watching.await.unwrap().unwrap();
            let [change] = &seen.items[..] else { panic!("{seen:?}") };
            assert_eq!(
                (change.id, change.model.as_str(), change.kind.clone()),
                (made.id.uuid(), "boat", ChangeKind::Created)
            );
            let none = Boat::watch(&ctx, Some(seen.position), Duration::ZERO).await.unwrap();
            assert_eq!(none.items, []);
            assert_eq!(none.position, seen.position);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_longer_than_there_is_time_gets_an_empty_answer_in_time() {
    let site = Site::open(Backend::Sqlite).await;
    let watches = Way::ALL.map(|way| {
        let ctx = site.context(way, &site.actors.viewer()).until(Instant::now() + Duration::from_secs(4));
        async move { Boat::watch(&ctx, None, Duration::from_secs(60)).await }
    });
    for seen in join_all(watches).await {
        assert_eq!(seen.unwrap().items, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_life_of_the_database_is_gone() {
    on_both(|site| async move {
        for way in Way::ALL {
            let ctx = site.context(way, &site.actors.viewer());
            let mut position = site.settled().await;
            position.epoch -= 1;
            let gone = Boat::watch(&ctx, Some(position), Duration::ZERO).await;
            assert!(matches!(&gone, Err(Error::Gone { .. })), "{gone:?}");
        }
    })
    .await;
}
