//! Throw-away databases.

use crate::db::{Database, Migrations, postgres};
use cirro_models::Result;
use diesel::connection::SimpleConnection;

/// The variable that names a PostgreSQL server on which databases may be created.
const VARIABLE: &str = "CIRRO_TEST_POSTGRES";

/// One of the two kinds of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file in a temporary folder.
    Sqlite,
    /// A new database on the server that `CIRRO_TEST_POSTGRES` names.
    Postgres,
}

/// An empty database; it is removed when this is dropped.
pub struct Scratch {
    /// The database, with its tables.
    pub database: Database,
    /// What [`Database::open`] takes: to open it again, as another process would.
    pub url: String,
    guard: Guard,
}

/// The place of a database; it is removed when this is dropped.
pub struct Empty {
    /// What [`Database::open`] takes.
    pub url: String,
    #[allow(dead_code, reason = "dropping it removes the database")]
    guard: Guard,
}

enum Guard {
    Folder(#[allow(dead_code, reason = "dropping it removes the folder")] tempfile::TempDir),
    Database { server: String, name: String },
}

impl Backend {
    /// Both, for tests that hold on each.
    pub const BOTH: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// A new database with these tables.
    pub async fn open(self, migrations: Migrations) -> Result<Scratch> {
        let Empty { url, guard } = self.empty()?;
        let database = Database::open(&url, migrations).await?;
        Ok(Scratch { database, url, guard })
    }
    /// The place of a database: a file that is not there, or a database without tables.
    pub fn empty(self) -> Result<Empty> {
        let (url, guard) = match self {
            Self::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder can't be made: check TMPDIR");
                (format!("sqlite:{}", folder.path().join("db").display()), Guard::Folder(folder))
            }
            Self::Postgres => {
                let server = std::env::var(VARIABLE).unwrap_or_else(|_| {
                    panic!(
                        "{VARIABLE} is not set: run `deploy/postgres start DIR` and set it to the URL that this prints"
                    )
                });
                let name = format!("cirro_test_{}", uuid::Uuid::now_v7().simple());
                on_server(&server, &format!("CREATE DATABASE {name}"));
                let base = server.rsplit_once('/').expect("the URL has no /database at its end").0.to_owned();
                (format!("{base}/{name}"), Guard::Database { server, name })
            }
        };
        Ok(Empty { url, guard })
    }
}

impl Scratch {
    /// Closes the database, so that another process may open it; what is left is its place.
    pub async fn let_go(self) -> Empty {
        let Self { database, url, guard } = self;
        let commits = database.feed().commits();
        drop(database);
        // its threads end on their own, and hold the feed until then
        while commits.has_changed().is_ok() {
            tokio::task::yield_now().await;
        }
        Empty { url, guard }
    }
}

fn on_server(server: &str, statement: &str) {
    let mut connection = postgres(server).expect("the PostgreSQL of the tests can't be reached");
    connection.batch_execute(statement).expect("a test's database can't be made or removed");
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Self::Database { server, name } = self {
            // a thread of the pool may still be connected
            on_server(server, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}
