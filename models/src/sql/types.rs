//! The SQL types that columns have, under the names that the derive writes. They replace diesel's default imports
//! inside `table!`.

pub use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text};

/// `uuid` on PostgreSQL, a BLOB of 16 bytes on SQLite: both sort alike.
#[derive(Debug, Clone, Copy, Default, diesel::sql_types::SqlType, diesel::query_builder::QueryId)]
#[diesel(sqlite_type(name = "Binary"), postgres_type(oid = 2950, array_oid = 2951))]
pub struct Guid;
/// `jsonb` on PostgreSQL, TEXT on SQLite.
#[derive(Debug, Clone, Copy, Default, diesel::sql_types::SqlType, diesel::query_builder::QueryId)]
#[diesel(sqlite_type(name = "Text"), postgres_type(oid = 3802, array_oid = 3807))]
pub struct Json;
/// `timestamptz` on PostgreSQL, INTEGER microseconds on SQLite.
#[derive(Debug, Clone, Copy, Default, diesel::sql_types::SqlType, diesel::query_builder::QueryId)]
#[diesel(sqlite_type(name = "Long"), postgres_type(oid = 1184, array_oid = 1185))]
pub struct Instant;

impl diesel::sql_types::SqlOrd for Guid {}
impl diesel::sql_types::SqlOrd for Instant {}
