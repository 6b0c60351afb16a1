//! What a service's rows name of other services.

use crate::db::database_error;
use cirro_models::{
    Context, Id, Model, Result, Verbs,
    sql::{AnyConnection, GuidValue, types::Guid},
};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The most ids that are asked for at once.
const BATCH: usize = 1000;

#[derive(QueryableByName)]
struct Two {
    #[diesel(sql_type = Guid)]
    id: GuidValue,
    #[diesel(sql_type = Guid)]
    other: GuidValue,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Guid)]
    id: GuidValue,
}

/// What a statement finds whose rows are an `id` each.
///
/// # Errors
/// The database does not answer.
pub fn ids(c: &mut AnyConnection, query: &'static str) -> Result<Vec<Uuid>> {
    let rows: Vec<Row> = sql_query(query).load(c).map_err(database_error)?;
    Ok(rows.into_iter().map(|row| row.id.0).collect())
}

/// The same of rows that are an `id` and an `other` each.
///
/// # Errors
/// The database does not answer.
pub fn ids_of_two<F: FromIterator<(Uuid, Uuid)>>(c: &mut AnyConnection, query: &'static str) -> Result<F> {
    let rows: Vec<Two> = sql_query(query).load(c).map_err(database_error)?;
    Ok(rows.into_iter().map(|row| (row.id.0, row.other.0)).collect())
}

/// Those of these ids that name nothing. Their owner is asked by batches, with the caller's rights: only an Operator,
/// who may read all, can tell what is gone from what may not be read.
///
/// # Errors
/// The owner does not answer.
pub async fn gone<M: Model>(ctx: &Context, ids: &[Uuid]) -> Result<BTreeSet<Uuid>> {
    let mut left: BTreeSet<Uuid> = ids.iter().copied().collect();
    let ids: Vec<Id<M>> = left.iter().copied().map(Id::from_uuid).collect();
    for ids in ids.chunks(BATCH) {
        for row in M::get_many(ctx, ids).await? {
            left.remove(&row.id().uuid());
        }
    }
    Ok(left)
}
