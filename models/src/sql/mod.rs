//! The owner's side of the models: tables and statements for SQLite and PostgreSQL in one binary.
//!
//! The derive writes concrete statements ([`Table`]); no generic code ever meets a diesel bound.

mod column;
mod connection;
pub mod label;
pub mod types;
mod values;

pub use column::{Column, StoredMeta, load_json, load_meta, store_json, store_meta, unreadable};
pub use connection::{AnyConnection, Both, MultiBackend, insert_many};
pub use values::{GuidValue, InstantValue, JsonValue};

use crate::{Generation, Id, Model, Reach};
use diesel::QueryResult;

/// Compiles its content only where the feature `sql` of this crate is on, whoever uses the derive.
#[macro_export]
macro_rules! when_sql {
    ($($content:tt)*) => { $($content)* };
}

/// SQLite binds at most 32,766 values in one statement, PostgreSQL 65,535.
pub const MAX_VALUES: usize = 32_000;

/// The statements of one model. `#[derive(Model)]` writes them.
pub trait Table: Model {
    /// Every column: name, kind, whether it may be null.
    const COLUMNS: &'static [(&'static str, &'static str, bool)];
    /// The rows with these ids, in no order.
    fn select(c: &mut AnyConnection, ids: &[Id<Self>]) -> QueryResult<Vec<Self>>;
    /// Rows within reach that meet the filter, by id, after this one.
    fn page(
        c: &mut AnyConnection,
        filter: &Self::Filter,
        reach: &Reach,
        after: Option<Id<Self>>,
        limit: i64,
    ) -> QueryResult<Vec<Self>>;
    /// Adds rows, in as few statements as the database allows.
    fn insert(c: &mut AnyConnection, models: &[Self]) -> QueryResult<usize>;
    /// Writes the whole row if the stored one still has this version; 0 if not.
    fn replace(c: &mut AnyConnection, model: &Self, version: Generation) -> QueryResult<usize>;
    /// Removes the row.
    fn remove(c: &mut AnyConnection, id: Id<Self>) -> QueryResult<usize>;
}
