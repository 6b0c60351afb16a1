//! Transactions: what fails leaves nothing, what is refused harms no neighbour, quotas are never exceeded.

use crate::{
    models::{Boat, Harbour, NewBoat, NewHarbour, new_boat},
    site::{Site, Way, on_both},
};
use cirro_models::{
    Error, Id, Labels, Meta, Name, Result, Verbs,
    identity::Project,
    model::{Model, Seed},
    sql::AnyConnection,
};
use cirro_server::{OwnerContext, Tx, testkit::Backend};
use diesel::{RunQueryDsl, sql_query, sql_types::Text};
use futures_util::future::join_all;
use proptest::{prelude::*, test_runner::TestRunner};
use std::sync::Arc;

fn seed<M>(site: &Site) -> Seed {
    let project = Some(site.actors.project);
    Seed { id: Id::<M>::new().uuid(), project, user: None, meta: Meta::created("test") }
}
fn boat(site: &Site, name: &str) -> Boat {
    let labels = Labels::from([("a".to_owned(), "b".to_owned())]);
    Boat::build(NewBoat { labels, ..new_boat(name) }, seed::<Boat>(site)).unwrap()
}

#[derive(diesel::QueryableByName, Debug, PartialEq)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Everything that the tables of a service hold, but for its counters.
async fn contents(site: &Site) -> Vec<Line> {
    let lines = |c: &mut AnyConnection| {
        let statement = "SELECT 'harbour ' || name || version AS line FROM harbour \
            UNION ALL SELECT 'boat ' || name || version || coalesce(note, '') FROM boat \
            UNION ALL SELECT 'label ' || key || value FROM label \
            UNION ALL SELECT 'change ' || model || kind || version FROM change \
            UNION ALL SELECT 'request ' || operation || model || status FROM request \
            UNION ALL SELECT 'usage ' || resource || used FROM quota_usage ORDER BY line";
        sql_query(statement).load::<Line>(c)
    };
    site.compute.database().read(move |c| Ok(lines(c).unwrap())).await.unwrap()
}

/// Something that a closure does.
#[derive(Debug, Clone)]
enum Step {
    Insert(u8),
    Change(u8),
    Remove,
    Charge(u8),
    Refund(u8),
}

fn some_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..100u8).prop_map(Step::Insert),
        (0..100u8).prop_map(Step::Change),
        Just(Step::Remove),
        (1..9u8).prop_map(Step::Charge),
        (1..9u8).prop_map(Step::Refund),
    ];
    proptest::collection::vec(step, 1..8)
}

#[derive(Debug, Clone, Copy)]
enum End {
    Error,
    Panic,
    Refused,
    Dropped,
}

fn take(tx: &mut Tx<'_>, site: &Site, step: &Step) -> Result<()> {
    let rows = tx.list::<Boat>(&crate::models::BoatFilter::default(), 100)?;
    match (step, rows.first()) {
        (Step::Insert(n), _) => tx.insert(&boat(site, &format!("new-{n}-{}", rows.len()))),
        (Step::Change(n), Some(row)) => tx.change(row.id, |row| row.note = Some(n.to_string())).map(drop),
        (Step::Remove, Some(row)) => tx.remove(row),
        (Step::Charge(n), _) => tx.charge(site.actors.project, "planks", i64::from(*n), 1000),
        (Step::Refund(n), _) => tx.refund(site.actors.project, "planks", i64::from(*n)),
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_leaves_nothing_of_any_of_its_steps() {
    on_both(|site| async move {
        let member = site.actors.member();
        site.make::<Boat>(&member, [new_boat("old"), new_boat("older")]).await;
        let before = contents(&site).await;
        let (runtime, tried) = (tokio::runtime::Handle::current(), site.clone());
        let property = move || {
            let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
            let ends = prop_oneof![Just(End::Error), Just(End::Panic), Just(End::Refused), Just(End::Dropped)];
            let run = TestRunner::new(config).run(&(some_steps(), ends), |(steps, end)| {
                let ctx = site.context(Way::Local, &site.actors.member());
                let (inner, service) = (site.clone(), site.compute.own_context());
                let change = move |tx: &mut Tx<'_>| {
                    steps.iter().try_for_each(|step| take(tx, &inner, step))?;
                    let twin = tx.list::<Boat>(&crate::models::BoatFilter::default(), 1)?.pop();
                    match (end, twin) {
                        (End::Refused, Some(twin)) => tx.insert(&twin),
                        (End::Dropped, Some(twin)) => {
                            drop(tx.insert(&twin));
                            Ok(())
                        }
                        (End::Panic, _) => panic!("a test's own"),
                        _ => Err(Error::conflict("a test's own")),
                    }
                };
                drop(ctx);
                let outcome = runtime.block_on(site.compute.database().write(service.subject(), None, change));
                prop_assert!(outcome.is_err(), "{:?} was answered with success", end);
                prop_assert_eq!(&runtime.block_on(contents(&site)), &before);
                Ok(())
            });
            run.unwrap();
        };
        tokio::task::spawn_blocking(property).await.unwrap();
        // and the database still takes changes
        tried.make::<Boat>(&member, [new_boat("after")]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_leaves_no_note_and_its_key_free() {
    on_both(|site| async move {
        let ctx = || site.context(Way::Mounted, &site.actors.member()).keyed("k");
        let rival = site.make::<Boat>(&site.actors.member(), [new_boat("taken")]).await.remove(0);
        let before = contents(&site).await;
        assert!(matches!(Boat::create(&ctx(), new_boat("taken")).await, Err(Error::Conflict { .. })));
        assert_eq!(contents(&site).await, before);
        Boat::delete(&site.context(Way::Local, &site.actors.member()), rival.id).await.unwrap();
        assert_eq!(Boat::create(&ctx(), new_boat("taken")).await.unwrap().name.as_str(), "taken");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_at_once_those_that_fail_harm_no_other() {
    on_both(|site| async move {
        let changes = (0..300).map(|n| {
            let site = site.clone();
            tokio::spawn(async move {
                let row = boat(&site, &format!("b{n}"));
                let change = move |tx: &mut Tx<'_>| {
                    tx.insert(&row)?;
                    match n % 3 {
                        0 => Ok(()),
                        1 => Err(Error::conflict("a test's own")),
                        _ => tx.insert(&row),
                    }
                };
                site.write(change).await.is_ok()
            })
        });
        let good: Vec<bool> = join_all(changes).await.into_iter().map(|task| task.unwrap()).collect();
        assert!(good.iter().enumerate().all(|(n, good)| *good == (n % 3 == 0)));
        let lines = contents(&site).await;
        let count = |kind: &str| lines.iter().filter(|line| line.line.starts_with(kind)).count();
        assert_eq!((count("boat"), count("change"), count("label")), (100, 100, 100));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_charges_never_take_more_than_the_limit_and_leave_none_of_it() {
    on_both(|site| async move {
        let project = site.actors.project;
        let charges = (0..60).map(|_| {
            let site = site.clone();
            tokio::spawn(async move { site.write(move |tx| tx.charge(project, "planks", 3, 100)).await })
        });
        let answers: Vec<_> = join_all(charges).await.into_iter().map(|task| task.unwrap()).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 33);
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let Error::Quota { resource, limit: 100, used, asked: 3 } = refused else { panic!("{refused:?}") };
            assert_eq!(resource, "planks");
            assert!(*used <= 99, "{used} of 100");
        }
        assert_eq!(site.write(move |tx| tx.used(project, "planks")).await.unwrap(), 99);
        site.write(move |tx| tx.refund(project, "planks", 99)).await.unwrap();
        assert_eq!(site.write(move |tx| tx.used(project, "planks")).await.unwrap(), 0);
    })
    .await;
}

fn both(tx: &mut Tx<'_>, project: Id<Project>, order: [&str; 2]) -> Result<()> {
    order.iter().try_for_each(|resource| tx.charge(project, resource, 1, 1000))
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_lock_each_other_out_are_repeated_inside() {
    on_both(|site| async move {
        let project = site.actors.project;
        site.write(move |tx| both(tx, project, ["planks", "nails"])).await.unwrap();
        let changes = (0..40).map(|n| {
            let site = site.clone();
            let order = if n % 2 == 0 { ["planks", "nails"] } else { ["nails", "planks"] };
            tokio::spawn(async move { site.write(move |tx| both(tx, project, order)).await })
        });
        for task in join_all(changes).await {
            task.unwrap().unwrap();
        }
        assert_eq!(site.write(move |tx| tx.used(project, "nails")).await.unwrap(), 41);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_to_one_row_at_once_all_count() {
    on_both(|site| async move {
        let new = NewHarbour { name: Name::parse("busy").unwrap(), open: None, labels: Labels::new() };
        let harbour = site.make::<Harbour>(&site.actors.operator(), [new]).await.remove(0);
        let changes = (0..16).map(|n| {
            let site: Arc<Site> = site.clone();
            tokio::spawn(async move {
                let change = move |tx: &mut Tx<'_>| {
                    tx.change::<Harbour>(harbour.id, |row| drop(row.meta.labels.insert(format!("k{n}"), String::new())))
                };
                site.write(change).await
            })
        });
        for task in join_all(changes).await {
            task.unwrap().unwrap();
        }
        let row = site.write(move |tx| tx.get::<Harbour>(harbour.id)).await.unwrap();
        assert_eq!((row.meta.version.get(), row.meta.labels.len()), (17, 16));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_panics_ends_no_thread_of_the_database() {
    on_both(|site| async move {
        for _ in 0..10 {
            let outcome = site.compute.database().read(|_| -> Result<()> { panic!("a test's own") }).await;
            assert!(matches!(outcome, Err(Error::Internal { .. })), "{outcome:?}");
        }
        assert_eq!(site.count::<Boat>().await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_writer_of_sqlite_gives_way_to_who_reads() {
    let site = Site::open(Backend::Sqlite).await;
    let nice = || rustix::process::getpriority_process(None).map_err(Error::internal);
    let reader = site.compute.database().read(move |_| nice()).await.unwrap();
    let writer = site.compute.own_context().write(move |_| nice()).await.unwrap();
    // the kernel knows nothing nicer than 19
    assert_eq!(writer, (reader + 10).min(19));
}
