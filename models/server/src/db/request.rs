//! The note of a mutating request, which is committed with its effect: audit and idempotency in one row.

use crate::db::{REFUSED, database_error, tables::request};
use cirro_models::{
    Context, Error, Id, Result, Timestamp,
    identity::Project,
    sql::{AnyConnection, GuidValue},
};
use diesel::{
    dsl::sql,
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::BigInt,
};
use openssl::sha::Sha256;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};
use uuid::Uuid;

/// What is noted of a mutating request.
#[derive(Debug)]
pub struct RequestNote {
    id: Uuid,
    principal: String,
    project: Option<Id<Project>>,
    operation: &'static str,
    model: &'static str,
    request_id: String,
    /// The row that it is about, if that has an id already.
    target: Option<Uuid>,
    key_hash: Option<[u8; 32]>,
    body_hash: [u8; 32],
    /// Seals what is told once, so that only who knows the key can have it replayed.
    pub(crate) seal: Option<[u8; 32]>,
    recorded: AtomicBool,
}

/// An answer that was committed.
pub(crate) struct Recorded {
    pub(crate) status: i64,
    pub(crate) answer: Option<String>,
}

/// The database's own clock, read when the transaction has its number: who has seen all lower numbers end has seen all
/// earlier moments.
const PG_MOMENT: &str = "(CASE WHEN pg_current_xact_id() IS NOT NULL \
     THEN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint END)";

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        // the length keeps ("ab", "c") and ("a", "bc") apart
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finish()
}

impl RequestNote {
    /// The note of a request on `target`, such as a row's id, with this body. What a controller asks for in its turn is a
    /// step of the request that it answers, with a key of its own.
    pub fn new(ctx: &Context, operation: &'static str, model: &'static str, target: &str, body: &[u8]) -> Self {
        let key = ctx.next_key();
        let key = key.as_deref();
        let principal = ctx.subject().principal().to_string();
        let project = ctx.subject().project();
        let scope = project.map(|id| id.to_string()).unwrap_or_default();
        let key_hash = key.map(|key| {
            hash(&[
                principal.as_bytes(),
                scope.as_bytes(),
                operation.as_bytes(),
                model.as_bytes(),
                target.as_bytes(),
                key.as_bytes(),
            ])
        });
        Self {
            id: Uuid::now_v7(),
            principal,
            project,
            operation,
            model,
            request_id: ctx.request_id().to_owned(),
            target: target.split([' ', ':', '/']).find_map(|part| part.parse().ok()),
            key_hash,
            // hashed with the key, which is kept nowhere: a body may hold a password that is easily guessed
            body_hash: key.map_or([0; 32], |key| hash(&[b"body", key.as_bytes(), body])),
            seal: key.map(|key| hash(&[b"seal", key.as_bytes()])),
            recorded: AtomicBool::new(false),
        }
    }
    /// The note of a request of somebody who proves only in it who they are, and whose name is told with
    /// [`Tx::note_as`](crate::Tx::note_as).
    pub fn of_stranger(request_id: String, operation: &'static str, model: &'static str) -> Self {
        Self {
            id: Uuid::now_v7(),
            principal: String::new(),
            project: None,
            operation,
            model,
            request_id,
            target: None,
            key_hash: None,
            body_hash: [0; 32],
            seal: None,
            recorded: AtomicBool::new(false),
        }
    }
    pub(crate) fn has_key(&self) -> bool {
        self.key_hash.is_some()
    }
    pub(crate) fn model(&self) -> &'static str {
        self.model
    }
    /// The project that its caller works in.
    pub(crate) fn project(&self) -> Option<Id<Project>> {
        self.project
    }
    /// Finds the request in all logs.
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }
    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }
    /// The answer that an earlier request with this key was given.
    pub(crate) fn find(&self, c: &mut AnyConnection) -> Result<Option<Recorded>> {
        let Some(key) = self.key_hash else { return Ok(None) };
        let found = request::table
            .filter(request::key_hash.eq(key.to_vec()))
            .select((request::body_hash, request::status, request::answer))
            .first::<(Vec<u8>, i64, Option<String>)>(c)
            .optional()
            .map_err(database_error)?;
        match found {
            None => Ok(None),
            Some((body, ..)) if body != self.body_hash => Err(Error::conflict(
                "this Idempotency-Key was used for another request: use a new key for a new request",
            )),
            Some((_, status, answer)) => Ok(Some(Recorded { status, answer })),
        }
    }
    /// Writes the note into the transaction of its effect. `Ok(false)` when another request with the same key was first.
    ///
    /// The key goes with the answer: what was only begun can be begun again.
    pub(crate) fn record(
        &self,
        c: &mut AnyConnection,
        by: Option<&str>,
        subject: Option<Uuid>,
        status: i64,
        answer: Option<String>,
    ) -> Result<bool> {
        let subject = subject.or(self.target);
        let key_hash = self.key_hash.filter(|_| answer.is_some()).map(|key| key.to_vec());
        if self.recorded.load(Ordering::Acquire) {
            if answer.is_none() {
                return Ok(true);
            }
            let completed = diesel::update(request::table.find(GuidValue(self.id)))
                .set((
                    request::status.eq(status),
                    request::answer.eq(answer),
                    request::key_hash.eq(key_hash),
                    request::subject_id.eq(subject.map(GuidValue)),
                ))
                .execute(c);
            return first(completed);
        }
        let moment = match c {
            AnyConnection::Sqlite(_) => Timestamp::now().micros().to_string(),
            AnyConnection::Pg(_) => PG_MOMENT.to_owned(),
        };
        let inserted = diesel::insert_into(request::table)
            .values((
                request::id.eq(GuidValue(self.id)),
                request::at.eq(sql::<BigInt>(&moment)),
                request::principal.eq(by.unwrap_or(&self.principal)),
                request::project_id.eq(self.project.map(|id| GuidValue(id.uuid()))),
                request::operation.eq(self.operation),
                request::model.eq(self.model),
                request::subject_id.eq(subject.map(GuidValue)),
                request::request_id.eq(&self.request_id),
                request::key_hash.eq(key_hash),
                request::body_hash.eq(self.body_hash.to_vec()),
                request::status.eq(status),
                request::answer.eq(answer),
            ))
            .execute(c);
        first(inserted)
    }
    /// Remembers that the note is committed, so that a later write of the same request only completes it.
    pub(crate) fn committed(&self) {
        self.recorded.store(true, Ordering::Release);
    }
}

/// Under which request each of these rows was changed last, as far as that was asked for: for what goes on because of it.
///
/// # Errors
/// The database does not answer.
pub fn requests_of(c: &mut AnyConnection, rows: impl IntoIterator<Item = Uuid>) -> Result<BTreeMap<Uuid, String>> {
    let mut found = BTreeMap::new();
    for row in rows {
        let last = request::table
            .filter(request::subject_id.eq(GuidValue(row)).and(request::status.lt(REFUSED)))
            .order(request::at.desc())
            .select(request::request_id)
            .first::<String>(c)
            .optional();
        found.extend(last.map_err(database_error)?.map(|request| (row, request)));
    }
    Ok(found)
}

/// Whether a note was the first with its key.
fn first(written: QueryResult<usize>) -> Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
        Err(error) => Err(database_error(error)),
    }
}
