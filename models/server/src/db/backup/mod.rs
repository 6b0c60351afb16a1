//! Copies of a database: taken while it is in use, put back where there is none.
//!
//! SQLite copies itself; for PostgreSQL its own tools do it, as its documentation advises ("SQL Dump").

mod postgres;
mod sqlite;

use crate::db::{Database, Migrations, database_error, open::Url, tables};
use cirro_models::{Error, Result, Timestamp, sql::AnyConnection};
use diesel::prelude::*;
use std::path::{Path, PathBuf};

/// Writes a copy of the database at `url`, as of one moment, to a file that is not there yet.
pub async fn copy(url: &str, to: &Path) -> Result<()> {
    let (url, to) = (Url::parse(url)?, to.to_owned());
    tokio::task::spawn_blocking(move || copy_now(&url, &to)).await.map_err(Error::internal)?
}

/// Puts a copy back: into a SQLite file that is not there yet, or into an empty PostgreSQL database. Its tables are brought
/// up to date, and a new epoch begins, so that nobody takes what happens from now on for what happened before.
///
/// # Errors
/// Something is there already; nothing is written over.
pub async fn put_back(from: &Path, url: &str, migrations: Migrations) -> Result<()> {
    let (parsed, from) = (Url::parse(url)?, from.to_owned());
    let put = move || match &parsed {
        Url::Sqlite(file) => sqlite::put_back(&from, file),
        Url::Postgres(url) => postgres::put_back(&from, url),
    };
    tokio::task::spawn_blocking(put).await.map_err(Error::internal)??;
    let database = Database::open(url, migrations).await?;
    let by = cirro_models::Subject::verified(cirro_models::Principal::Service("restore"), None, false, false, None);
    database.write(&by, None, |tx| begin_again(tx.connection())).await
}

/// What a migration is preceded by: a copy beside a SQLite file, or in the folder that was given.
pub(super) fn before_migration(url: &Url, folder: Option<&Path>, first: &str) -> Result<PathBuf> {
    let name = |stem: &str| format!("{stem}.before-{first}-{}", Timestamp::now().micros());
    let to = match (url, folder) {
        (Url::Sqlite(file), None) => {
            let stem = file.file_name().unwrap_or_default().to_string_lossy();
            file.with_file_name(name(&stem))
        }
        (Url::Sqlite(file), Some(folder)) => folder.join(name(&file.file_name().unwrap_or_default().to_string_lossy())),
        (Url::Postgres(url), Some(folder)) => folder.join(name(postgres::name(url))),
        (Url::Postgres(_), None) => {
            return Err(Error::unavailable(
                "the database's tables must be brought up to date, and a copy is taken before that: say where to with \
                 --backup-dir DIR",
            ));
        }
    };
    copy_now(url, &to)?;
    Ok(to)
}

fn copy_now(url: &Url, to: &Path) -> Result<()> {
    if to.exists() {
        return Err(Error::conflict(format!("{} is there already: give another file", to.display())));
    }
    match url {
        Url::Sqlite(file) => sqlite::copy(file, to),
        Url::Postgres(url) => postgres::copy(url, to),
    }
}

/// The feed of before is forgotten: on another PostgreSQL server its order would mean nothing.
fn begin_again(c: &mut AnyConnection) -> Result<()> {
    diesel::delete(tables::change::table).execute(c).map_err(database_error)?;
    diesel::delete(tables::site::table.find(crate::db::prune::FORGOTTEN)).execute(c).map_err(database_error)?;
    let epoch = Timestamp::now().micros().to_string();
    let row = diesel::update(tables::site::table.find("epoch")).set(tables::site::value.eq(epoch));
    row.execute(c).map(drop).map_err(database_error)
}
