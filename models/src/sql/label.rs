//! The labels of all rows of a database, indexed, so that lists can be filtered by them.

use super::{
    MAX_VALUES,
    connection::{AnyConnection, insert_many},
    values::GuidValue,
};
use crate::Labels;
use diesel::{prelude::*, result::QueryResult};

diesel::table! {
    use super::super::types::{Text, Guid};
    #[allow(missing_docs, unreachable_pub)]
    /// One label of one row.
    label (model, id, key) { model -> Text, id -> Guid, key -> Text, value -> Text, }
}

/// The ids of the rows of a model that have this label.
#[diesel::dsl::auto_type(no_type_alias)]
pub fn with<'a>(model: &'a str, key: &'a str, value: &'a str) -> _ {
    label::table
        .filter(label::model.eq(model))
        .filter(label::key.eq(key))
        .filter(label::value.eq(value))
        .select(label::id)
}

/// Makes the index agree with a row's labels.
pub fn put(c: &mut AnyConnection, model: &str, id: uuid::Uuid, labels: &Labels) -> QueryResult<()> {
    clear(c, model, id)?;
    for (key, value) in labels {
        diesel::insert_into(label::table)
            .values((label::model.eq(model), label::id.eq(GuidValue(id)), label::key.eq(key), label::value.eq(value)))
            .execute(c)?;
    }
    Ok(())
}

/// Sets the labels of rows that have none yet, in as few statements as the database allows.
pub fn add(c: &mut AnyConnection, model: &str, rows: &[(uuid::Uuid, &Labels)]) -> QueryResult<()> {
    let all: Vec<_> = rows.iter().flat_map(|(id, labels)| labels.iter().map(|label| (*id, label))).collect();
    for some in all.chunks(MAX_VALUES / 4) {
        let row = |(id, (key, value)): &(uuid::Uuid, (&String, &String))| {
            (
                label::model.eq(model.to_owned()),
                label::id.eq(GuidValue(*id)),
                label::key.eq((*key).clone()),
                label::value.eq((*value).clone()),
            )
        };
        let insert = diesel::insert_into(label::table).values(some.iter().map(row).collect::<Vec<_>>());
        insert_many(insert, c)?;
    }
    Ok(())
}

/// Forgets a row's labels.
pub fn clear(c: &mut AnyConnection, model: &str, id: uuid::Uuid) -> QueryResult<()> {
    diesel::delete(label::table.filter(label::model.eq(model)).filter(label::id.eq(GuidValue(id)))).execute(c)?;
    Ok(())
}
