//! Opening a connection: one variant by name, never both in turn.

use cirro_models::{Error, Result, sql::AnyConnection};
use diesel::{
    Connection, ConnectionError, ConnectionResult, PgConnection, SqliteConnection, connection::SimpleConnection,
};
use rustix::fs::{FlockOperation, flock};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

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
        begin_openssl();
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(path.trim_start_matches("//").into()));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err(Error::invalid("database", "give it as sqlite:PATH or postgres://USER@HOST/NAME"))
    }

    /// Makes a SQLite database this process's own for as long as the lock is kept: caches and the writer's queue are true
    /// only where one process writes. PostgreSQL needs none.
    pub(crate) fn lock(&self) -> Result<Option<File>> {
        match self {
            Self::Sqlite(path) => lock(path).map(Some),
            Self::Postgres(_) => Ok(None),
        }
    }

    pub(crate) fn connect(&self) -> Result<AnyConnection> {
        match self {
            Self::Sqlite(path) => {
                let opened = SqliteConnection::establish(&path.to_string_lossy()).and_then(|mut c| {
                    // FULL: a commit that was answered survives a power cut. The cache (in KiB, taken as it is used) holds the
                    // upper pages of all indexes of a large site, and the log is copied into the file every 16 MiB.
                    let pragmas = "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
                                   PRAGMA foreign_keys=ON; PRAGMA cache_size=-8192; PRAGMA wal_autocheckpoint=4096;";
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
            Self::Postgres(url) => postgres(url).map(AnyConnection::Pg).map_err(|error| refused(&error)),
        }
    }
}

/// To be called before anything else uses OpenSSL: who does so first decides whether it cleans up after itself when the
/// process exits, and most would let it, libpq too, while our threads still have connections.
pub(crate) fn begin_openssl() {
    openssl::init();
}

/// How soon a server that does not answer counts as away, where the URL does not say (PostgreSQL 15, "Parameter Key
/// Words"): seconds for a connection, seconds of silence before the system asks, and milliseconds for what was sent.
const IMPATIENCE: [(&str, &str); 5] = [
    ("connect_timeout", "5"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
];

/// A connection to PostgreSQL.
pub(crate) fn postgres(url: &str) -> ConnectionResult<PgConnection> {
    begin_openssl();
    let mut url = url.to_owned();
    for (name, value) in IMPATIENCE {
        if !url.contains(&format!("{name}=")) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.extend([name, "=", value]);
        }
    }
    PgConnection::establish(&url)
}

/// What is said of a connection that did not come about. The server's words name no password.
pub(crate) fn refused(error: &ConnectionError) -> Error {
    let words = error.to_string();
    let words = words.lines().next().unwrap_or_default();
    Error::unavailable(format!(
        "PostgreSQL can't be reached ({words}): check its address, that it runs, and the password"
    ))
}

/// The lock is a file of its own: closing any descriptor of the database file would end SQLite's locks on it.
fn lock(path: &Path) -> Result<File> {
    let beside: OsString = [path.as_os_str(), ".lock".as_ref()].into_iter().collect();
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beside);
    let file = file.map_err(|error| {
        Error::unavailable(format!(
            "the file {} can't be made ({error}): check that its folder exists and can be written",
            Path::new(&beside).display()
        ))
    })?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Error::unavailable(format!(
            "another process has the database {} open, and a SQLite database belongs to one: end that process, or give \
             all of them a PostgreSQL database (--database postgres://…)",
            path.display()
        ))
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::{dsl::sql, prelude::*, sql_types::Bool};

    #[test]
    fn sqlite_is_built_as_the_configuration_of_cargo_says() {
        let mut c = SqliteConnection::establish(":memory:").unwrap();
        let mut used = |option: &str| {
            let asked = sql::<Bool>(&format!("SELECT sqlite_compileoption_used('{option}')"));
            asked.get_result::<bool>(&mut c).unwrap()
        };
        let built = ["ENABLE_QPSG", "DEFAULT_MEMSTATUS=0", "THREADSAFE=2"].map(&mut used);
        assert_eq!(built, [true; 3], "build from the repository's folder: see .cargo/config.toml");
        assert!(!used("ENABLE_MEMORY_MANAGEMENT"));
    }
}
