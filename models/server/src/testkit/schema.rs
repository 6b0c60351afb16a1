//! Whether the migrated tables are what the models say.

use crate::{
    db::database_error,
    owner::{Running, Shape},
};
use cirro_models::{Result, sql::AnyConnection};
use diesel::{prelude::*, sql_query, sql_types as st};
use std::collections::BTreeMap;

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = st::Text)]
    name: String,
    #[diesel(sql_type = st::Text)]
    kind: String,
    #[diesel(sql_type = st::Bool)]
    null: bool,
    #[diesel(sql_type = st::Bool)]
    filled: bool,
}

#[derive(QueryableByName)]
struct Indexed {
    #[diesel(sql_type = st::Text)]
    index: String,
    #[diesel(sql_type = st::Bool)]
    unique: bool,
    #[diesel(sql_type = st::Bool)]
    partial: bool,
    #[diesel(sql_type = st::Text)]
    column: String,
}

/// An index: whether it is unique, whether it leaves rows out, its columns in order.
type Index = (bool, bool, Vec<String>);

const SQLITE_COLUMNS: &str = "SELECT name, lower(type) AS kind, NOT \"notnull\" AND NOT pk AS \"null\", dflt_value IS NOT NULL AS filled \
     FROM pragma_table_info(?)";
const POSTGRES_COLUMNS: &str = "SELECT column_name::text AS name, data_type::text AS kind, is_nullable = 'YES' AS \"null\", \
     column_default IS NOT NULL AS filled FROM information_schema.columns \
     WHERE table_schema = current_schema() AND table_name = $1";
const SQLITE_INDEXES: &str = "SELECT l.name AS \"index\", l.\"unique\" AS \"unique\", l.partial AS partial, \
     coalesce(i.name, '') AS \"column\" FROM pragma_index_list(?) AS l JOIN pragma_index_info(l.name) AS i ORDER BY l.name, i.seqno";
const POSTGRES_INDEXES: &str = "SELECT x.indexrelid::regclass::text AS \"index\", x.indisunique AS \"unique\", \
     x.indpred IS NOT NULL AS partial, coalesce(a.attname, '')::text AS \"column\" FROM pg_index x \
     CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(attnum, place) \
     LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum \
     WHERE x.indrelid = to_regclass(quote_ident($1)) ORDER BY x.indexrelid, k.place";

/// What differs between the models of a service and its migrated tables, a sentence each; empty when they agree.
///
/// Every field has its column, with its kind and nullability, and no other column has to be given. Every `filter` field
/// leads an index of all rows (or follows `project_id` in one), and every unique set has its unique index.
pub async fn schema_differences(running: &Running) -> Result<Vec<String>> {
    let shapes: Vec<Shape> = running.owner.models.iter().map(|model| model.shape()).collect();
    let differences =
        move |c: &mut AnyConnection| shapes.iter().map(|shape| compare(c, shape)).collect::<Result<Vec<_>>>();
    Ok(running.database().read(differences).await?.concat())
}

fn compare(c: &mut AnyConnection, shape: &Shape) -> Result<Vec<String>> {
    let table = shape.path;
    let (columns, indexes) = (columns(c, table)?, indexes(c, table)?);
    let mut found = Vec::new();
    if columns.is_empty() {
        return Ok(vec![format!("there is no table {table}: write its migration")]);
    }
    for (name, kind, null) in shape.columns {
        match columns.iter().find(|column| column.name == *name) {
            None => found
                .push(format!("{table}.{name} is a field without a column: add it as {}", wanted(kind).join(" or "))),
            Some(column) => {
                if !wanted(kind).contains(&column.kind.as_str()) {
                    found.push(format!(
                        "{table}.{name} is kept as {}: it should be {}",
                        column.kind,
                        wanted(kind).join(" or ")
                    ));
                }
                if column.null != *null {
                    let (is, should) = if *null { ("NOT NULL", "may be NULL") } else { ("nullable", "is NOT NULL") };
                    found.push(format!("{table}.{name} is {is} as a column: the model says that it {should}"));
                }
            }
        }
    }
    for column in columns.iter().filter(|column| !column.null && !column.filled) {
        if !shape.columns.iter().any(|(name, ..)| *name == column.name) {
            found.push(format!(
                "{table}.{} has to be given, but is no field: drop it or give it a default",
                column.name
            ));
        }
    }
    for field in shape.fields.iter().filter(|field| field.filter && field.name != "id") {
        let leads = |(_, partial, columns): &Index| {
            let rest = columns.strip_prefix(&["project_id".to_owned()][..]).filter(|_| field.name != "project_id");
            !partial
                && [Some(&columns[..]), rest].into_iter().flatten().any(|c| c.first().is_some_and(|c| c == field.name))
        };
        if !indexes.values().any(leads) {
            found.push(format!("{table}.{name} is a filter without an index of all rows: add CREATE INDEX {table}_{name} ON {table} ({name})", name = field.name));
        }
    }
    let mut unique: Vec<&str> = shape.unique.to_vec();
    unique.sort_unstable();
    let covers = |(is_unique, _, columns): &Index| {
        let mut columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        columns.sort_unstable();
        *is_unique && columns == unique
    };
    if !unique.is_empty() && !indexes.values().any(covers) {
        let set = shape.unique.join(", ");
        found.push(format!("{table} has no unique index on ({set}): add CREATE UNIQUE INDEX … ON {table} ({set}) WHERE deleted_at IS NULL"));
    }
    Ok(found)
}

/// The types under which a kind of column may be declared. SQLite keeps what it is given, except that digits in a
/// column without a text type become numbers, and the other way round.
fn wanted(kind: &str) -> &'static [&'static str] {
    match kind {
        "Guid" => &["uuid", "blob"],
        "Json" => &["jsonb", "text"],
        "Instant" => &["timestamp with time zone", "timestamptz", "bigint", "integer"],
        "BigInt" => &["bigint", "integer"],
        "Bool" => &["boolean"],
        _ => &["text"],
    }
}

fn columns(c: &mut AnyConnection, table: &str) -> Result<Vec<Column>> {
    match c {
        AnyConnection::Sqlite(c) => sql_query(SQLITE_COLUMNS).bind::<st::Text, _>(table).load(c),
        AnyConnection::Pg(c) => sql_query(POSTGRES_COLUMNS).bind::<st::Text, _>(table).load(c),
    }
    .map_err(database_error)
}

fn indexes(c: &mut AnyConnection, table: &str) -> Result<BTreeMap<String, Index>> {
    let rows: Vec<Indexed> = match c {
        AnyConnection::Sqlite(c) => sql_query(SQLITE_INDEXES).bind::<st::Text, _>(table).load(c),
        AnyConnection::Pg(c) => sql_query(POSTGRES_INDEXES).bind::<st::Text, _>(table).load(c),
    }
    .map_err(database_error)?;
    let mut indexes = BTreeMap::new();
    for row in rows {
        let index: &mut Index = indexes.entry(row.index).or_insert_with(|| (row.unique, row.partial, Vec::new()));
        index.2.push(row.column);
    }
    Ok(indexes)
}
