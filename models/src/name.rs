//! Names that people give to things.

use crate::error::Error;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, ops::Deref, str::FromStr};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, schema::Type};

/// The name of a thing: 1 to 63 letters, digits, `-`, `_` or `.`, beginning with a letter or digit.
///
/// 63 is the length of a DNS label (RFC 1035 §2.3.4): an instance's name becomes its host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The longest name, in characters.
    pub const MAX: usize = 63;
    const PATTERN: &'static str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

    /// Checks and wraps a name; the error says in one sentence what a name may be.
    pub fn parse(name: &str) -> Result<Self, String> {
        let shown: String = name.chars().take(80).collect();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > Self::MAX {
            Err(format!("the name \"{shown}\" has {} bytes: use 1 to {}", name.len(), Self::MAX))
        } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(allowed) {
            Err(format!(
                "the name {shown:?} is not usable: begin with a letter or digit and use only letters, digits, '-', '_' and '.'"
            ))
        } else {
            Ok(Self(name.to_owned()))
        }
    }
    /// The plain text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for Name {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        Self::parse(s).map_err(|detail| Error::invalid("name", detail))
    }
}
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
impl utoipa::PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(Self::MAX))
            .pattern(Some(Self::PATTERN))
            .into()
    }
}
impl utoipa::ToSchema for Name {}
