//! A new release finds an old database, an old release a new one, and a copy is put back.

use cirro_models::{Principal, Subject, sql::AnyConnection};
use cirro_server::{
    Database,
    db::{Migrations, backup},
    testkit::Backend,
};
use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use std::os::unix::fs::PermissionsExt;

const ONE: EmbeddedMigrations = embed_migrations!("tests/contract/migrations/upgrade/one");
const TWO: EmbeddedMigrations = embed_migrations!("tests/contract/migrations/upgrade/two");

/// The tables of the release before.
fn old() -> Migrations {
    Migrations(ONE)
}
/// And of the one after.
fn new() -> Migrations {
    Migrations(TWO)
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn number(database: &Database, select: &'static str) -> Option<i64> {
    let query = move |c: &mut AnyConnection| {
        let asked = sql_query(format!("SELECT CAST(({select}) AS bigint) AS number")).get_result::<Number>(c);
        asked.map(|row| row.number).map_err(cirro_models::Error::internal)
    };
    database.read(query).await.ok()
}

async fn run(database: &Database, statement: &'static str) {
    let by = Subject::verified(Principal::Service("test"), None, false, false, None);
    let change = move |tx: &mut cirro_server::Tx<'_>| {
        tx.connection().batch_execute(statement).map_err(cirro_models::Error::internal)
    };
    database.write(&by, None, change).await.unwrap();
}

/// Databases opened anew, as a process that starts later does: SQLite's first one must be gone.
async fn closed(database: Database) {
    let feed = database.feed().commits();
    drop(database);
    // its threads end on their own, and hold the feed until then
    let gone = async {
        while feed.has_changed().is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.unwrap();
}

#[tokio::test]
async fn a_new_release_copies_a_database_before_it_changes_it_and_an_old_one_leaves_it_alone() {
    for backend in Backend::BOTH {
        let scratch = backend.open(old()).await.unwrap();
        let keep = tempfile::tempdir().unwrap();
        run(&scratch.database, "INSERT INTO raft VALUES ('kon-tiki')").await;
        let (url, folder) = (scratch.url.clone(), Some(keep.path().to_owned()));
        let scratch = scratch.let_go().await;

        if backend == Backend::Postgres {
            let refused = Database::open(&url, new()).await.err().unwrap().to_string();
            assert!(refused.contains("--backup-dir"), "{refused}");
        }
        let newer = Database::open_keeping(&url, new(), folder.clone()).await.unwrap();
        assert_eq!(number(&newer, "SELECT sum(logs) FROM raft").await, Some(0));
        let copies: Vec<_> = std::fs::read_dir(keep.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(copies.len(), 1, "one copy before, and none of a database that was new: {copies:?}");
        run(&newer, "INSERT INTO raft VALUES ('ra', 2)").await;
        closed(newer).await;

        let again = Database::open_keeping(&url, new(), folder).await.unwrap();
        assert_eq!(std::fs::read_dir(keep.path()).unwrap().count(), 1, "nothing was changed");
        closed(again).await;
        let refused = Database::open(&url, old()).await.err().unwrap().to_string();
        assert!(refused.contains("newer release") && refused.contains("restore"), "{refused}");

        // the copy is the database before: the old release starts on it
        let target = backend.empty().unwrap();
        backup::put_back(&copies[0], &target.url, old()).await.unwrap();
        let restored = Database::open(&target.url, old()).await.unwrap();
        assert_eq!(number(&restored, "SELECT count(*) FROM raft").await, Some(1));
        assert_eq!(number(&restored, "SELECT count(*) FROM change").await, Some(0));
        closed(restored).await;
        let refused = backup::put_back(&copies[0], &target.url, old()).await.unwrap_err().to_string();
        assert!(refused.contains("is there already") || refused.contains("is not empty"), "{refused}");
        drop(scratch);
    }
}

#[tokio::test]
async fn a_copy_is_of_one_moment_while_others_write_and_begins_a_new_epoch() {
    for backend in Backend::BOTH {
        let scratch = backend.open(old()).await.unwrap();
        run(&scratch.database, "INSERT INTO raft VALUES ('first')").await;
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        let writing = async {
            for _ in 0..50 {
                run(&scratch.database, "DELETE FROM raft; INSERT INTO raft VALUES ('second'), ('third')").await;
            }
        };
        let (copied, ()) = tokio::join!(backup::copy(&scratch.url, &to), writing);
        copied.unwrap();
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(backup::copy(&scratch.url, &to).await.is_err(), "nothing is written over");
        let target = backend.empty().unwrap();
        backup::put_back(&to, &target.url, old()).await.unwrap();
        let restored = Database::open(&target.url, old()).await.unwrap();
        let rows = number(&restored, "SELECT count(*) FROM raft").await.unwrap();
        assert!(rows == 1 || rows == 2, "never between two writes: {rows}");
        assert!(restored.feed().epoch() > scratch.database.feed().epoch());
    }
}
