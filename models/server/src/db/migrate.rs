//! Bringing a database's tables up to date.

use cirro_models::{Error, Result, sql::AnyConnection};
use diesel::{connection::SimpleConnection, pg::Pg, sqlite::Sqlite};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

// Their versions and those of the services are kept in one table: a later one is called `base-0001_…`, which no service's
// date can be.
const BASE_SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const BASE_POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The migrations of a service. They are written in the SQL that both databases understand: SQLite takes PostgreSQL's
/// type names (`uuid`, `jsonb`, `timestamptz`) and keeps what it is given.
pub struct Migrations(pub EmbeddedMigrations);

/// Held while migrations run, so that several processes that start at once do not race.
const LOCK: i64 = 0x0c1_2207;

impl Migrations {
    pub(crate) fn run(self, connection: &mut AnyConnection) -> Result<()> {
        let done = match connection {
            AnyConnection::Sqlite(c) => run::<Sqlite>(c, BASE_SQLITE).and_then(|()| run::<Sqlite>(c, self.0)),
            AnyConnection::Pg(c) => {
                c.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})")).map_err(Error::internal)?;
                let done = run::<Pg>(c, BASE_POSTGRES).and_then(|()| run::<Pg>(c, self.0));
                c.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})")).map_err(Error::internal)?;
                done
            }
        };
        done.map_err(|error| {
            tracing::error!(%error, "a migration failed");
            Error::unavailable(format!(
                "the database's tables can't be brought up to date ({error}): check its disk and rights"
            ))
        })
    }
}

fn run<B: diesel::backend::Backend>(
    c: &mut impl MigrationHarness<B>,
    migrations: EmbeddedMigrations,
) -> Result<(), String>
where
    EmbeddedMigrations: diesel::migration::MigrationSource<B>,
{
    c.run_pending_migrations(migrations).map(drop).map_err(|error| error.to_string())
}
