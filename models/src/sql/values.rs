//! What is bound for, and read from, a column of our own SQL types, on each database.

use super::{
    connection::{MultiBackend, MultiRawValue},
    types::{Guid, Instant, Json},
};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    serialize::{self, IsNull, Output, ToSql},
    sql_types as st,
    sqlite::Sqlite,
};
use std::io::Write;

/// A value of a [`Guid`] column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Guid)]
pub struct GuidValue(pub uuid::Uuid);
/// A value of a [`Json`] column, as its text: it is parsed once, into what it is for.
#[derive(Debug, Clone, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Json)]
pub struct JsonValue(pub String);
/// A value of an [`Instant`] column: microseconds after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Instant)]
pub struct InstantValue(pub i64);

/// PostgreSQL counts its microseconds from 2000-01-01.
const PG_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The version of jsonb's binary form, which is this byte and the text (PostgreSQL 15, `jsonb_recv`).
const PG_JSONB: u8 = 1;

impl ToSql<Guid, Pg> for GuidValue {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <uuid::Uuid as ToSql<st::Uuid, Pg>>::to_sql(&self.0, out)
    }
}
impl ToSql<Guid, Sqlite> for GuidValue {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(&self.0.as_bytes()[..]);
        Ok(IsNull::No)
    }
}
impl FromSql<Guid, Pg> for GuidValue {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        <uuid::Uuid as FromSql<st::Uuid, Pg>>::from_sql(value).map(Self)
    }
}
impl FromSql<Guid, Sqlite> for GuidValue {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(uuid::Uuid::from_slice(value.read_blob())?))
    }
}
impl ToSql<Json, Pg> for JsonValue {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[PG_JSONB])?;
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}
impl ToSql<Json, Sqlite> for JsonValue {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_str());
        Ok(IsNull::No)
    }
}
impl FromSql<Json, Pg> for JsonValue {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes().split_first() {
            Some((&PG_JSONB, text)) => Ok(Self(std::str::from_utf8(text)?.to_owned())),
            _ => Err("a jsonb value of an unknown version".into()),
        }
    }
}
impl FromSql<Json, Sqlite> for JsonValue {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(value.read_text().to_owned()))
    }
}
impl ToSql<Instant, Pg> for InstantValue {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let since_2000 = diesel::data_types::PgTimestamp(self.0 - PG_EPOCH_MICROS);
        <diesel::data_types::PgTimestamp as ToSql<st::Timestamptz, Pg>>::to_sql(&since_2000, &mut out.reborrow())
    }
}
impl ToSql<Instant, Sqlite> for InstantValue {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0);
        Ok(IsNull::No)
    }
}
impl FromSql<Instant, Pg> for InstantValue {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let since_2000 = <diesel::data_types::PgTimestamp as FromSql<st::Timestamptz, Pg>>::from_sql(value)?;
        Ok(Self(since_2000.0 + PG_EPOCH_MICROS))
    }
}
impl FromSql<Instant, Sqlite> for InstantValue {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(value.read_long()))
    }
}

/// What `derive(MultiConnection)` does for the types it knows, for ours.
macro_rules! on_either_backend {
    ($($sql:ident, $rust:ty);* $(;)?) => { $(
        impl st::HasSqlType<$sql> for MultiBackend {
            fn metadata(lookup: &mut Self::MetadataLookup) -> Self::TypeMetadata {
                MultiBackend::lookup_sql_type::<$sql>(lookup)
            }
        }
        impl ToSql<$sql, MultiBackend> for $rust {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, MultiBackend>) -> serialize::Result {
                out.set_value(($sql, self));
                Ok(IsNull::No)
            }
        }
        impl FromSql<$sql, MultiBackend> for $rust {
            fn from_sql(value: MultiRawValue<'_>) -> deserialize::Result<Self> {
                value.from_sql::<Self, $sql>()
            }
        }
    )* };
}
on_either_backend!(Guid, GuidValue; Json, JsonValue; Instant, InstantValue);
