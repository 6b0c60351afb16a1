//! How the types of fields are kept in columns.

use super::values::{GuidValue, InstantValue, JsonValue};
use crate::{Id, Meta, Name, Timestamp, choice::Choice, units};
use diesel::result::Error as DieselError;
use serde::{Serialize, de::DeserializeOwned};

/// A type that a field of a model may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be kept in a column",
    note = "mark the field `json`, or implement `cirro_models::sql::Column` for the type"
)]
pub trait Column: Sized {
    /// What is bound and read.
    type Stored;
    /// For writing.
    fn store(&self) -> Self::Stored;
    /// From reading; the error says what can't be understood.
    fn load(stored: Self::Stored) -> Result<Self, String>;
}

impl<M> Column for Id<M> {
    type Stored = GuidValue;
    fn store(&self) -> GuidValue {
        GuidValue(self.uuid())
    }
    fn load(stored: GuidValue) -> Result<Self, String> {
        Ok(Self::from_uuid(stored.0))
    }
}
impl Column for Timestamp {
    type Stored = InstantValue;
    fn store(&self) -> InstantValue {
        InstantValue(self.micros())
    }
    fn load(stored: InstantValue) -> Result<Self, String> {
        Ok(Self::from_micros(stored.0))
    }
}
impl Column for Name {
    type Stored = String;
    fn store(&self) -> String {
        self.as_str().to_owned()
    }
    fn load(stored: String) -> Result<Self, String> {
        Self::parse(&stored)
    }
}
impl<C: Choice> Column for C {
    type Stored = String;
    fn store(&self) -> String {
        self.word().to_owned()
    }
    fn load(stored: String) -> Result<Self, String> {
        Ok(Self::from_word(&stored))
    }
}

macro_rules! plain {
    ($($ty:ty),*) => { $(
        impl Column for $ty {
            type Stored = Self;
            fn store(&self) -> Self {
                self.clone()
            }
            fn load(stored: Self) -> Result<Self, String> {
                Ok(stored)
            }
        }
    )* };
}
macro_rules! quantities {
    ($($ty:ident),*) => { $(
        impl Column for units::$ty {
            type Stored = i64;
            fn store(&self) -> i64 {
                self.get()
            }
            fn load(stored: i64) -> Result<Self, String> {
                Ok(Self::new(stored))
            }
        }
    )* };
}
plain!(String, bool, i64);
quantities!(MiB, GiB, Vcpus, Count, Generation, Bytes);

/// A nested value as JSON.
pub fn store_json<T: Serialize>(value: &T) -> JsonValue {
    JsonValue(serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()))
}
/// A nested value from JSON.
#[allow(clippy::needless_pass_by_value, reason = "as `Column::load` takes what was read")]
pub fn load_json<T: DeserializeOwned>(stored: JsonValue) -> Result<T, String> {
    serde_json::from_str(&stored.0).map_err(|error| error.to_string())
}
/// The error of a row that holds what this release can't understand.
pub fn unreadable(detail: String) -> DieselError {
    DieselError::DeserializationError(detail.into())
}

/// The columns of a [`Meta`], in their order.
pub type StoredMeta = (i64, JsonValue, String, InstantValue, InstantValue, Option<InstantValue>);

/// The columns of a [`Meta`].
pub fn store_meta(meta: &Meta) -> StoredMeta {
    let deleted_at = meta.deleted_at.as_ref().map(Column::store);
    let (created_at, updated_at) = (meta.created_at.store(), meta.updated_at.store());
    (meta.version.get(), store_json(&meta.labels), meta.created_by.clone(), created_at, updated_at, deleted_at)
}
/// A [`Meta`] from its columns.
pub fn load_meta(
    version: i64,
    labels: JsonValue,
    created_by: String,
    created_at: InstantValue,
    updated_at: InstantValue,
    deleted_at: Option<InstantValue>,
) -> Result<Meta, DieselError> {
    Ok(Meta {
        version: units::Generation::new(version),
        labels: load_json(labels).map_err(unreadable)?,
        created_by,
        created_at: Timestamp::from_micros(created_at.0),
        updated_at: Timestamp::from_micros(updated_at.0),
        deleted_at: deleted_at.map(|at| Timestamp::from_micros(at.0)),
    })
}
