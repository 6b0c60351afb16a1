//! Copies of SQLite databases.

use cirro_models::{Error, Result};
use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query, sql_types::Text};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

fn unusable(what: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::unavailable(format!(
        "{} can't be copied ({error}): check that it is there, and rights and room",
        what.display()
    ))
}

/// One consistent copy while others write (`SQLite` documentation, "VACUUM INTO").
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Err(unusable(from, &"there is no such file"));
    }
    let open = SqliteConnection::establish(&format!("file:{}?mode=rw", from.display()));
    let mut c = open.map_err(|error| unusable(from, &error))?;
    c.batch_execute("PRAGMA busy_timeout=30000;").map_err(|error| unusable(from, &error))?;
    // only its owner may ever read it
    fs::File::create_new(to)
        .and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o600)))
        .map_err(|error| unusable(to, &error))?;
    sql_query("VACUUM INTO ?")
        .bind::<Text, _>(to.to_string_lossy().into_owned())
        .execute(&mut c)
        .map_err(|error| unusable(from, &error))?;
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| unusable(to, &error))
}

/// The copy becomes the database.
pub(super) fn put_back(from: &Path, file: &Path) -> Result<()> {
    if file.exists() {
        return Err(Error::conflict(format!("{} is there already: restore into an empty folder", file.display())));
    }
    fs::copy(from, file).map_err(|error| unusable(from, &error))?;
    let kept = fs::File::open(file).and_then(|copy| {
        copy.set_permissions(fs::Permissions::from_mode(0o600))?;
        copy.sync_all()
    });
    kept.map_err(|error| unusable(file, &error))
}
