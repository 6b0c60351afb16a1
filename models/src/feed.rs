//! The change feed, as its readers see it.

use crate::{error::Error, units::Generation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use uuid::Uuid;

/// A place in a service's change feed. Opaque to readers; in the database it is (epoch, transaction, sequence), because
/// on PostgreSQL a later sequence can be committed first. On SQLite the transaction is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Changes when the database is put back to an earlier state.
    pub epoch: i64,
    /// The writing transaction.
    pub transaction: i64,
    /// The entry's number.
    pub sequence: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:x}", self.epoch, self.transaction, self.sequence)
    }
}
impl FromStr for Position {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let mut parts = s.splitn(3, '.').map(|part| i64::from_str_radix(part, 16).ok());
        match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten()) {
            (Some(epoch), Some(transaction), Some(sequence)) => Ok(Self { epoch, transaction, sequence }),
            _ => Err(Error::invalid(
                "after",
                "this is no position of a change feed: give the `position` of an earlier answer, unchanged",
            )),
        }
    }
}
impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
impl utoipa::PartialSchema for Position {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String).into()
    }
}
impl ToSchema for Position {}

crate::choice! {
    /// What happened to a row.
    pub enum ChangeKind {
        /// It is new.
        Created = "created",
        /// It was changed.
        Updated = "updated",
        /// It is gone.
        Deleted = "deleted",
    }
}

/// One entry of the feed: which row, not what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Where it stands.
    pub position: Position,
    /// The model's path.
    pub model: String,
    /// The row.
    pub id: Uuid,
    /// The version that this change made.
    pub version: Generation,
    /// The row's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Uuid>,
    /// What happened.
    pub kind: ChangeKind,
}

/// What a long poll on the feed answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    /// What the caller may know of, in order; empty when the wait ended first.
    pub items: Vec<Change>,
    /// Where to go on.
    pub position: Position,
}
