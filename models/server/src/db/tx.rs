//! A transaction on the owner's database: the only way to change rows.

use crate::{
    cache::Written,
    db::{RequestNote, database_error, tables::change},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use cirro_models::{
    Error, Generation, Id, Model, Principal, Reach, Result, Timestamp,
    feed::ChangeKind,
    identity::Secret,
    meta::check_labels,
    model::Applied,
    sql::{AnyConnection, GuidValue, MAX_VALUES, Table, insert_many, label},
};
use diesel::{prelude::*, result::Error as DieselError};
use serde_json::{Map, Value};

/// A transaction. Every row written through it gets its feed entry and its labels' index, and, if it is what the
/// request is about, becomes the recorded answer.
#[allow(clippy::struct_excessive_bools, reason = "each says that something has happened")]
pub struct Tx<'c> {
    connection: &'c mut AnyConnection,
    by: &'c str,
    note: Option<&'c RequestNote>,
    answer: Option<(uuid::Uuid, i64, Option<Value>)>,
    once: Map<String, Value>,
    /// The closure lost a race and should be run again on what is stored now.
    pub(crate) lost_race: bool,
    /// Another request with the same key has won; its answer counts.
    pub(crate) duplicate: bool,
    /// The database has refused a statement: PostgreSQL takes no other one after it.
    failed: bool,
    /// Who the request turned out to be from.
    noted_as: Option<String>,
    /// The rows that were written, which caches must not tell any longer.
    pub(crate) written: Vec<Written>,
    /// A job was enqueued, and workers are to be woken.
    pub(crate) enqueued: bool,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c mut AnyConnection, by: &'c str, note: Option<&'c RequestNote>) -> Self {
        Self {
            connection,
            by,
            note,
            answer: None,
            once: Map::new(),
            lost_race: false,
            duplicate: false,
            failed: false,
            noted_as: None,
            written: Vec::new(),
            enqueued: false,
        }
    }
    /// The connection, for joins and records of the owner's own.
    pub fn connection(&mut self) -> &mut AnyConnection {
        self.connection
    }
    /// Runs a statement. On neither database can a closure go on after one that was refused: see [`Self::finish`].
    pub(crate) fn run<T>(
        &mut self,
        statement: impl FnOnce(&mut AnyConnection) -> QueryResult<T>,
        refuse: impl FnOnce(DieselError) -> Error,
    ) -> Result<T> {
        statement(self.connection).map_err(|error| {
            self.failed = true;
            refuse(error)
        })
    }
    /// Notes the request in the name of who has just proven to be this, though it may write no row.
    pub fn note_as(&mut self, principal: &Principal) {
        self.noted_as = Some(principal.to_string());
    }
    /// The note of the request that is being answered, if there is one.
    pub(crate) fn note(&self) -> Option<&'c RequestNote> {
        self.note
    }
    /// What a request about something that is no model is answered, to be recorded with its effect.
    pub(crate) fn answer_with(&mut self, subject: uuid::Uuid, status: i64, answer: Value) {
        self.answer = Some((subject, status, Some(answer)));
    }
    /// Who writes, as in `created_by`.
    pub fn by(&self) -> &str {
        self.by
    }
    /// The row, or an error that there is none.
    pub fn get<M: Table>(&mut self, id: Id<M>) -> Result<M> {
        self.find(id)?.ok_or_else(|| Error::not_found(M::PATH, id))
    }
    /// The row, if there is one.
    pub fn find<M: Table>(&mut self, id: Id<M>) -> Result<Option<M>> {
        self.run(|c| M::select(c, &[id]), database_error).map(|mut rows| rows.pop())
    }
    /// All rows that meet the filter, at most `limit`, whoever's they are.
    pub fn list<M: Table>(&mut self, filter: &M::Filter, limit: i64) -> Result<Vec<M>> {
        self.run(|c| M::page(c, filter, &Reach::All, None, limit), database_error)
    }
    /// Adds a row.
    pub fn insert<M: Table>(&mut self, row: &M) -> Result<()> {
        self.insert_all(std::slice::from_ref(row))
    }
    /// Adds rows, in as few statements as the database allows.
    pub fn insert_all<M: Table>(&mut self, rows: &[M]) -> Result<()> {
        self.run(|c| M::insert(c, rows), refused::<M>)?;
        let labels: Vec<_> = rows.iter().map(|row| (row.id().uuid(), &row.meta().labels)).collect();
        self.run(|c| label::add(c, M::PATH, &labels), database_error)?;
        self.announce(rows, &ChangeKind::Created)?;
        let status = if M::ACCEPTED { 202 } else { 201 };
        rows.iter().try_for_each(|row| self.answers("create", row, status))
    }
    /// Applies a caller's patch; with `version`, only if the stored row still has it.
    pub fn patch<M: Table>(&mut self, id: Id<M>, patch: M::Patch, version: Option<Generation>) -> Result<M> {
        self.patch_then(id, patch, version, |_, _| Ok(()))
    }
    /// The same, with what follows from it for the owner in the same write.
    pub fn patch_then<M: Table>(
        &mut self,
        id: Id<M>,
        patch: M::Patch,
        version: Option<Generation>,
        then: impl FnOnce(&mut M, Applied) -> Result<()>,
    ) -> Result<M> {
        let stored = self.get(id)?;
        let mut row = stored.clone();
        let applied = row.apply(patch);
        if let Some(version) = version
            && version != stored.meta().version
            && applied.changed
        {
            return Err(Error::Stale {
                kind: M::PATH.to_owned(),
                id: id.to_string(),
                version: stored.meta().version.get(),
            });
        }
        then(&mut row, applied)?;
        if row != stored {
            // a patch that is small enough may still add one label too many
            check_labels(row.meta().labels.iter().map(|(key, value)| (key, value.as_str())))?;
            if row.meta().version == stored.meta().version {
                row.meta_mut().touch();
            }
            self.put(&stored, &row)?;
        }
        self.answers("update", &row, 200)?;
        Ok(row)
    }
    /// Changes a row as the owner; one that comes out the same is not written.
    pub fn change<M: Table>(&mut self, id: Id<M>, change: impl FnOnce(&mut M)) -> Result<M> {
        let stored = self.get(id)?;
        self.change_from(&stored, change)
    }
    /// The same for a row that was read in this transaction.
    pub fn change_from<M: Table>(&mut self, stored: &M, change: impl FnOnce(&mut M)) -> Result<M> {
        let mut row = stored.clone();
        change(&mut row);
        if row != *stored {
            if row.meta().version == stored.meta().version {
                row.meta_mut().touch();
            }
            self.put(stored, &row)?;
            self.answers("update", &row, 200)?;
        }
        Ok(row)
    }
    /// Marks a row as being deleted; it goes when what belongs to it is removed.
    pub fn begin_delete<M: Table>(&mut self, id: Id<M>, change: impl FnOnce(&mut M)) -> Result<M> {
        let stored = self.get(id)?;
        let row = self.change_from(&stored, |row| {
            row.meta_mut().deleted_at.get_or_insert_with(Timestamp::now);
            change(row);
        })?;
        self.answers("delete", &row, 202)?;
        Ok(row)
    }
    /// Removes a row.
    pub fn remove<M: Table>(&mut self, row: &M) -> Result<()> {
        let id = row.id();
        if self.run(|c| M::remove(c, id), refused::<M>)? == 0 {
            self.lost_race = true;
            return Err(Error::not_found(M::PATH, id));
        }
        self.run(|c| label::clear(c, M::PATH, id.uuid()), database_error)?;
        self.announce(std::slice::from_ref(row), &ChangeKind::Deleted)?;
        if self.is_about::<M>("delete", id) {
            // the row as it was: who repeats the request is judged by it
            self.answer = Some((id.uuid(), 204, Some(serde_json::to_value(row).map_err(Error::internal)?)));
        }
        Ok(())
    }
    /// Lets no other transaction that asks for the same lock run before this one ends. On SQLite none ever does.
    pub fn exclusive(&mut self, lock: i64) -> Result<()> {
        let statement = |c: &mut AnyConnection| match c {
            AnyConnection::Sqlite(_) => Ok(()),
            AnyConnection::Pg(c) => diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
                .bind::<diesel::sql_types::BigInt, _>(lock)
                .execute(c)
                .map(drop),
        };
        self.run(statement, database_error)
    }
    /// Tells a secret with the answer of this request, this one time.
    pub fn tell_once(&mut self, field: &str, secret: &Secret) {
        self.once.insert(field.to_owned(), secret.expose().into());
    }

    fn put<M: Table>(&mut self, stored: &M, row: &M) -> Result<()> {
        if self.run(|c| M::replace(c, row, stored.meta().version), refused::<M>)? == 0 {
            self.lost_race = true;
            return Err(Error::conflict(format!("{} {} was changed at the same moment: try again", M::PATH, row.id())));
        }
        if row.meta().labels != stored.meta().labels {
            self.run(|c| label::put(c, M::PATH, row.id().uuid(), &row.meta().labels), database_error)?;
        }
        self.announce(std::slice::from_ref(row), &ChangeKind::Updated)
    }
    fn announce<M: Model>(&mut self, rows: &[M], kind: &ChangeKind) -> Result<()> {
        self.written.extend(rows.iter().map(|row| (M::PATH, row.id().uuid())));
        let entry = |row: &M| {
            (
                change::model.eq(M::PATH),
                change::id.eq(GuidValue(row.id().uuid())),
                change::version.eq(row.meta().version.get()),
                change::project_id.eq(row.project().map(|id| GuidValue(id.uuid()))),
                change::kind.eq(kind.to_string()),
                change::at.eq(Timestamp::now().micros()),
            )
        };
        if let [row] = rows {
            // the usual case, which is prepared once
            let one = diesel::insert_into(change::table).values(entry(row));
            return self.run(|c| one.execute(c).map(drop), database_error);
        }
        for rows in rows.chunks(MAX_VALUES / 6) {
            let entries = diesel::insert_into(change::table).values(rows.iter().map(entry).collect::<Vec<_>>());
            self.run(|c| insert_many(entries, c), database_error)?;
        }
        Ok(())
    }
    fn is_about<M: Model>(&self, operation: &str, id: Id<M>) -> bool {
        let same = |note: &RequestNote| note.model() == M::PATH && note.operation() == operation;
        // the first row of that kind is what the request made; a later one was written in passing
        self.note.is_some_and(same) && self.answer.as_ref().is_none_or(|(about, ..)| *about == id.uuid())
    }
    fn answers<M: Model>(&mut self, operation: &str, row: &M, status: i64) -> Result<()> {
        if self.is_about::<M>(operation, row.id()) {
            let answer = serde_json::to_value(row).map_err(Error::internal)?;
            self.answer = Some((row.id().uuid(), status, Some(answer)));
        }
        Ok(())
    }
    /// Records the note with what was answered; to be called last.
    ///
    /// A closure that dropped the error of a statement is refused: PostgreSQL has given its transaction up, and what
    /// works on SQLite alone must not pass a test there.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if self.failed {
            return Err(Error::internal("a change went on after the database had refused a statement of it"));
        }
        let Some(note) = self.note else { return Ok(()) };
        if self.written.is_empty() && self.answer.is_none() && self.noted_as.is_none() {
            return Ok(());
        }
        let (subject, status, answer) =
            self.answer.take().map_or((None, 200, None), |(id, status, answer)| (Some(id), status, answer));
        let mut kept = Map::new();
        if let Some(answer) = answer {
            kept.insert("model".to_owned(), answer);
        }
        if let Some(seal) = note.seal.filter(|_| !self.once.is_empty()) {
            kept.insert("sealed".to_owned(), seal_once(&seal, &self.once)?.into());
        }
        let kept = (!kept.is_empty()).then(|| Value::Object(kept).to_string());
        if !note.record(self.connection, self.noted_as.as_deref(), subject, status, kept)? {
            self.duplicate = true;
            return Err(Error::conflict("a request with the same Idempotency-Key is being answered"));
        }
        Ok(())
    }
}

/// AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce in front and the 128-bit tag behind it.
fn seal_once(key: &[u8; 32], once: &Map<String, Value>) -> Result<String> {
    let (mut nonce, mut tag) = ([0; 12], [0; 16]);
    openssl::rand::rand_bytes(&mut nonce).map_err(Error::internal)?;
    let text = serde_json::to_vec(once).map_err(Error::internal)?;
    let cipher = openssl::symm::Cipher::aes_256_gcm();
    let sealed =
        openssl::symm::encrypt_aead(cipher, key, Some(&nonce), &[], &text, &mut tag).map_err(Error::internal)?;
    Ok(STANDARD.encode([&nonce[..], &tag[..], &sealed[..]].concat()))
}

/// What [`Tx::tell_once`] sealed, if the key is right.
pub(crate) fn open_once(key: &[u8; 32], sealed: &str) -> Result<Map<String, Value>> {
    let bytes = STANDARD.decode(sealed).map_err(Error::internal)?;
    let Some(((nonce, tag), text)) = bytes.split_at_checked(28).map(|(head, text)| (head.split_at(12), text)) else {
        return Err(Error::internal("a sealed answer is too short"));
    };
    let cipher = openssl::symm::Cipher::aes_256_gcm();
    let text = openssl::symm::decrypt_aead(cipher, key, Some(nonce), &[], text, tag).map_err(Error::internal)?;
    serde_json::from_slice(&text).map_err(Error::internal)
}

/// What a caller sees when the database refuses a row.
fn refused<M: Model>(error: diesel::result::Error) -> Error {
    use diesel::result::{DatabaseErrorKind as Kind, Error as E};
    match error {
        E::DatabaseError(Kind::UniqueViolation, _) => Error::conflict(format!(
            "a {} with the same {} exists already: choose another, or use the one that exists",
            M::PATH,
            M::UNIQUE.iter().filter(|field| !field.ends_with("project_id")).copied().collect::<Vec<_>>().join(" and ")
        )),
        E::DatabaseError(Kind::ForeignKeyViolation, _) => Error::conflict(format!(
            "this {} is still used by something, or names something that does not exist",
            M::PATH
        )),
        other => database_error(other),
    }
}
