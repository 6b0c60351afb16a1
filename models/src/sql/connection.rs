//! One connection type over both databases.

#![allow(missing_docs, reason = "diesel's derive writes items without docs")]

use diesel::{
    pg::{Pg, PgConnection},
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    query_dsl::methods::ExecuteDsl,
    sqlite::{Sqlite, SqliteConnection},
};

/// A connection to either database. Open one variant by name, never through `establish`, which tries both in turn.
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// PostgreSQL.
    Pg(PgConnection),
    /// SQLite.
    Sqlite(SqliteConnection),
}

/// Runs an insert of many rows, which is different SQL on each database and so is built for the one that it meets.
pub fn insert_many<Q>(insert: Q, c: &mut AnyConnection) -> QueryResult<usize>
where
    Q: ExecuteDsl<PgConnection> + ExecuteDsl<SqliteConnection>,
{
    match c {
        AnyConnection::Pg(c) => ExecuteDsl::execute(insert, c),
        AnyConnection::Sqlite(c) => ExecuteDsl::execute(insert, c),
    }
}

/// A statement that both databases understand but that the derive for [`AnyConnection`] has no support for, such as
/// ON CONFLICT: `Both(insert.on_conflict(…).do_nothing()).execute(c)`.
#[derive(Debug, Clone, Copy)]
pub struct Both<Q>(pub Q);

impl<Q: QueryFragment<Pg> + QueryFragment<Sqlite>> QueryFragment<MultiBackend> for Both<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        MultiBackend::walk_variant_ast(&self.0, pass)
    }
}
impl<Q: QueryId> QueryId for Both<Q> {
    type QueryId = Q::QueryId;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}
impl<Q: diesel::query_builder::Query> diesel::query_builder::Query for Both<Q> {
    type SqlType = Q::SqlType;
}
impl<Q, C> RunQueryDsl<C> for Both<Q> {}
