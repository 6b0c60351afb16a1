//! Opening a connection: one variant by name, never both in turn.

use cirro_models::{Error, Result, sql::AnyConnection};
use diesel::{Connection, PgConnection, SqliteConnection, connection::SimpleConnection};
use std::path::PathBuf;

/// Where a database is.
#[derive(Clone)]
pub(crate) enum Url {
    /// A file.
    Sqlite(PathBuf),
    /// A server; the URL may hold a password, so it is never shown.
    Postgres(String),
}

impl Url {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(path.trim_start_matches("//").into()));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err(Error::invalid("database", "give it as sqlite:PATH or postgres://USER@HOST/NAME"))
    }

    pub(crate) fn connect(&self) -> Result<AnyConnection> {
        match self {
            Self::Sqlite(path) => {
                let opened = SqliteConnection::establish(&path.to_string_lossy()).and_then(|mut c| {
                    // FULL: a commit that was answered survives a power cut
                    let pragmas = "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;";
                    c.batch_execute(pragmas).map(|()| c).map_err(diesel::ConnectionError::CouldntSetupConfiguration)
                });
                opened.map(AnyConnection::Sqlite).map_err(|error| Error::Unavailable {
                    detail: format!(
                        "the database file {} can't be opened ({error}): check that its folder exists, can be written and has room",
                        path.display()
                    ),
                    retry_after_s: 1,
                })
            }
            Self::Postgres(url) => PgConnection::establish(url).map(AnyConnection::Pg).map_err(|error| {
                tracing::error!(%error, "PostgreSQL refused a connection");
                Error::unavailable("PostgreSQL can't be reached: check its address, that it runs, and the password")
            }),
        }
    }
}
