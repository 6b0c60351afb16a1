//! Quantities as types: a size in MiB can't be added to one in GiB, and none is ever negative.

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// The largest accepted value.
            pub const MAX: Self = Self($max);

            /// This many; a value below 0 becomes 0 and one above [`Self::MAX`] becomes that.
            pub const fn new(value: i64) -> Self {
                if value < 0 { Self(0) } else if value > Self::MAX.0 { Self::MAX } else { Self(value) }
            }
            /// The plain number.
            pub const fn get(self) -> i64 {
                self.0
            }
            /// The next larger value.
            #[must_use]
            pub const fn next(self) -> Self {
                Self::new(self.0.saturating_add(1))
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!("{}", $unit), self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = i64::deserialize(deserializer)?;
                if (0..=Self::MAX.0).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(de::Error::custom(format!("{value} is out of range: give a whole number from 0 to {}", Self::MAX.0)))
                }
            }
        }
        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                    .minimum(Some(0))
                    .maximum(Some(Self::MAX.0))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}

quantity!(
    /// Memory or image sizes in mebibytes (2^20 bytes), at most 1 PiB.
    MiB, " MiB", 1 << 30
);
quantity!(
    /// Disk sizes in gibibytes (2^30 bytes), at most 1 EiB.
    GiB, " GiB", 1 << 30
);
quantity!(
    /// Virtual processors, at most 1,048,576.
    Vcpus, " vCPUs", 1 << 20
);
quantity!(
    /// How many of something a project may have.
    Count, "", 1 << 40
);
quantity!(
    /// How often what a thing's owner asks for has changed; a report about an older generation is out of date.
    Generation, "", i64::MAX
);
quantity!(
    /// A number of bytes.
    Bytes, " bytes", i64::MAX
);

impl GiB {
    /// The same size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0.unsigned_abs() << 30
    }
}
impl MiB {
    /// The same size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0.unsigned_abs() << 20
    }
}
