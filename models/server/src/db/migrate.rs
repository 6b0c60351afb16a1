//! Bringing a database's tables up to date, after a copy of what is there; and leaving alone what a newer release has made.

use crate::db::{backup, open::Url};
use cirro_models::{Error, Result, sql::AnyConnection};
use diesel::{
    connection::SimpleConnection,
    migration::{Migration, MigrationSource},
    pg::Pg,
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::{collections::BTreeSet, path::Path};

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
    /// `keep` is the folder for the copy that is taken before; SQLite's goes beside its file without one.
    pub(crate) fn run(self, connection: &mut AnyConnection, url: &Url, keep: Option<&Path>) -> Result<()> {
        match connection {
            AnyConnection::Sqlite(c) => update::<Sqlite>(c, [BASE_SQLITE, self.0], url, keep),
            AnyConnection::Pg(c) => {
                c.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})")).map_err(Error::internal)?;
                let done = update::<Pg>(c, [BASE_POSTGRES, self.0], url, keep);
                c.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})")).map_err(Error::internal)?;
                done
            }
        }
    }
}

fn update<B: diesel::backend::Backend>(
    c: &mut impl MigrationHarness<B>,
    sources: [EmbeddedMigrations; 2],
    url: &Url,
    keep: Option<&Path>,
) -> Result<()>
where
    EmbeddedMigrations: MigrationSource<B>,
{
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        tracing::error!(%error, "a migration failed");
        Error::unavailable(format!(
            "the database's tables can't be brought up to date ({error}): check its disk and rights"
        ))
    };
    let applied: BTreeSet<String> = c.applied_migrations().map_err(failed)?.iter().map(ToString::to_string).collect();
    let mut known = BTreeSet::new();
    for source in &sources {
        let migrations: Vec<Box<dyn Migration<B>>> = source.migrations().map_err(failed)?;
        known.extend(migrations.iter().map(|migration| migration.name().version().to_string()));
    }
    if let Some(newer) = applied.difference(&known).next() {
        return Err(Error::unavailable(format!(
            "a newer release has changed this database ({newer}), and this one does not understand it: start the newer \
             release, or restore the copy that was taken before the change"
        )));
    }
    let first = known.difference(&applied).next();
    if let Some(first) = first.filter(|_| !applied.is_empty()) {
        let kept = backup::before_migration(url, keep, first)?;
        tracing::info!(copy = %kept.display(), "the database is brought up to date; a copy of it was taken before");
    }
    sources.into_iter().try_for_each(|source| c.run_pending_migrations(source).map(drop).map_err(failed))
}
