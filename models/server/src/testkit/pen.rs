//! Writing what no service would: rows without what belongs to them, as a fault, a crash or a foreign hand leaves them.

use crate::{db::Database, owner::Running};
use diesel::connection::SimpleConnection;
use uuid::Uuid;

/// Writes SQL into a service's database behind the service's back.
#[derive(Clone)]
pub struct Pen(Database);

impl Pen {
    /// One for this service.
    pub fn of(running: &Running) -> Self {
        Self(running.database().clone())
    }
    /// An id as the database writes it.
    pub fn id(&self, id: impl Into<Uuid>) -> String {
        let id: Uuid = id.into();
        if self.0.is_exclusive() { format!("x'{}'", id.simple()) } else { format!("'{id}'") }
    }
    /// A moment that has long passed, as the database writes it.
    pub fn past(&self) -> &'static str {
        if self.0.is_exclusive() { "1000000" } else { "'2020-01-01'" }
    }
    /// Runs statements; references between tables are not looked at.
    pub async fn write(&self, sql: &str) {
        let whole = if self.0.is_exclusive() {
            format!("PRAGMA foreign_keys=OFF; {sql}; PRAGMA foreign_keys=ON")
        } else {
            format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT")
        };
        let written = self.0.read(move |c| {
            c.batch_execute(&whole).unwrap_or_else(|error| panic!("{whole}: {error}"));
            Ok(())
        });
        written.await.expect("the database is there");
    }
}
