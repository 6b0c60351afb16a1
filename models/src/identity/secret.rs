//! Passwords and keys on their way.

use crate::patch::Check;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// A password or key on its way: shown by no `Debug`, wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
impl Check for Secret {
    fn check(&self) -> Result<(), String> {
        match self.0.len() {
            8..=1024 => Ok(()),
            n => Err(format!("the password has {n} bytes: use 8 to 1024")),
        }
    }
}
impl utoipa::PartialSchema for Secret {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(8))
            .max_length(Some(1024))
            .write_only(true)
            .into()
    }
}
impl utoipa::ToSchema for Secret {}
