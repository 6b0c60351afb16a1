//! Typed ids: the id of a user can't be handed to something that wants a volume's.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{cmp::Ordering, fmt, hash::Hash, hash::Hasher, marker::PhantomData, str::FromStr};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type};
use uuid::Uuid;

/// The id of one `M`: a UUID of version 7, so that ids sort by the time they were made.
pub struct Id<M>(Uuid, PhantomData<fn() -> M>);

impl<M> Id<M> {
    /// A new id, unique and larger than those made before it on this machine.
    pub fn new() -> Self {
        Self(Uuid::now_v7(), PhantomData)
    }
    /// The id that this UUID is, whatever its version: ids derived from a plan are not of version 7.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }
    /// The plain UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<M> Default for Id<M> {
    fn default() -> Self {
        Self::new()
    }
}
impl<M> Clone for Id<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Id<M> {}
impl<M> PartialEq for Id<M> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<M> Eq for Id<M> {}
impl<M> PartialOrd for Id<M> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<M> Ord for Id<M> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}
impl<M> Hash for Id<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<M> fmt::Debug for Id<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<M> fmt::Display for Id<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<M> FromStr for Id<M> {
    type Err = uuid::Error;
    fn from_str(s: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(s).map(Self::from_uuid)
    }
}
impl<M> Serialize for Id<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de, M> Deserialize<'de> for Id<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            serde::de::Error::custom(format!("{shown:?} is no id: give a UUID, such as {}", Uuid::nil()))
        })
    }
}
// the trait that utoipa asks of types with parameters; `PartialSchema` follows from it
impl<M> utoipa::__dev::ComposeSchema for Id<M> {
    fn compose(_: Vec<RefOr<Schema>>) -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).into()
    }
}
impl<M> utoipa::ToSchema for Id<M> {}
