//! Copies of PostgreSQL databases, by `pg_dump` and `pg_restore`.

use crate::db::open::{postgres, refused};
use cirro_models::{Error, Result};
use diesel::{RunQueryDsl, dsl::sql, sql_types::BigInt};
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// The database's name in a URL.
pub(super) fn name(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or("database")
}

/// A URL without its password, which everybody would see among a program's arguments, and the password.
fn apart(url: &str) -> (String, Option<String>) {
    let whole = || (url.to_owned(), None);
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let Some((person, place)) = rest.split_once('@') else { return whole() };
    let Some((user, password)) = person.split_once(':') else { return whole() };
    (format!("{scheme}://{user}@{place}"), Some(decoded(password)))
}

/// What percent signs stand for (RFC 3986 §2.1).
fn decoded(text: &str) -> String {
    let (mut bytes, mut out) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        let digits = if byte == b'%' { bytes.next().zip(bytes.next()) } else { None };
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match digits.and_then(|(high, low)| Some(hex(high)? << 4 | hex(low)?)) {
            Some(meant) => out.push(meant),
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn run(program: &str, words: &[&str], url: &str, file: &Path) -> Result<()> {
    let (place, password) = apart(url);
    let mut command = Command::new(program);
    command.args(words).arg(format!("--dbname={place}")).stdin(Stdio::null());
    match program {
        "pg_dump" => command.arg("--file").arg(file),
        _ => command.arg(file),
    };
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    let done = command.output().map_err(|error| {
        Error::unavailable(format!("{program} can't be started ({error}): install PostgreSQL's client programs"))
    })?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let why = said.lines().find(|line| line.contains("error")).unwrap_or("it does not say why");
    Err(Error::unavailable(format!("{program} failed for the database {}: {why}", name(url))))
}

/// One consistent copy while others write.
pub(super) fn copy(url: &str, to: &Path) -> Result<()> {
    // only its owner may ever read it
    std::os::unix::fs::OpenOptionsExt::mode(std::fs::OpenOptions::new().write(true).create_new(true), 0o600)
        .open(to)
        .map_err(|error| {
        Error::unavailable(format!("{} can't be written ({error}): check rights and room", to.display()))
    })?;
    run("pg_dump", &["--format=custom", "--no-owner", "--no-privileges"], url, to)
}

/// The copy becomes the content of a database that has none.
pub(super) fn put_back(from: &Path, url: &str) -> Result<()> {
    let mut c = postgres(url).map_err(|error| refused(&error))?;
    let tables = diesel::select(sql::<BigInt>("(SELECT count(*) FROM pg_tables WHERE schemaname = 'public')"));
    let tables: i64 = tables.get_result(&mut c).map_err(Error::internal)?;
    if tables > 0 {
        return Err(Error::conflict(format!(
            "the database {} is not empty: restore into a new one, or remove it yourself",
            name(url)
        )));
    }
    drop(c);
    run("pg_restore", &["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"], url, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_no_argument() {
        let (place, password) = apart("postgres://cirro:p%40ss%2Fword@db.example:5432/compute?sslmode=require");
        assert_eq!(place, "postgres://cirro@db.example:5432/compute?sslmode=require");
        assert_eq!(password.as_deref(), Some("p@ss/word"));
        assert_eq!(apart("postgres://cirro@db/compute"), ("postgres://cirro@db/compute".to_owned(), None));
        assert_eq!(name("postgres://cirro@db/compute?x=/y"), "compute");
    }
}
