//! Making a database on a PostgreSQL server.

use crate::db::open::{postgres, refused};
use cirro_models::{Error, Result};
use diesel::{
    connection::SimpleConnection,
    dsl::sql,
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::Bool,
};

/// Makes a database on the server of `url`, if it has none of that name.
///
/// # Errors
/// The server can't be reached, or does not let this user create databases.
pub async fn create(url: &str, name: &str) -> Result<()> {
    let (url, name) = (url.to_owned(), name.to_owned());
    tokio::task::spawn_blocking(move || blocking(&url, &name)).await.map_err(Error::internal)?
}

fn blocking(url: &str, name: &str) -> Result<()> {
    // a name can't be bound: it is a word of the statement
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
        return Err(Error::invalid(
            "database",
            format!("{name:?} is no name for a database: use 1 to 63 lower-case letters, digits and _"),
        ));
    }
    let mut connection = postgres(url).map_err(|error| refused(&error))?;
    let known = diesel::select(
        sql::<Bool>("EXISTS (SELECT 1 FROM pg_database WHERE datname = ")
            .bind::<diesel::sql_types::Text, _>(name)
            .sql(")"),
    );
    if known.get_result::<bool>(&mut connection).map_err(Error::internal)? {
        return Ok(());
    }
    match connection.batch_execute(&format!("CREATE DATABASE {name}")) {
        // somebody else was faster
        Ok(()) | Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(()),
        Err(error) => Err(Error::unavailable(format!(
            "the database {name} can't be made ({error}): make it yourself, or give a user who may create databases"
        ))),
    }
}
