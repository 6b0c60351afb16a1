//! Pieces of the request views that the derive emits: checks, and JSON merge patch (RFC 7396).

use crate::{Id, Name, Timestamp, units};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// A value that a request may hold; says in one sentence why not.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `Check`, so a request can't hold it",
    note = "declare it with `choice!`, or implement `cirro_models::patch::Check` for it"
)]
pub trait Check {
    /// Refuses what must not be stored.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The longest free text, in bytes; longer ones have types of their own.
pub const MAX_TEXT: usize = 4096;

impl Check for bool {}
impl Check for i64 {}
impl Check for Name {}
impl Check for Timestamp {}
impl Check for units::MiB {}
impl Check for units::GiB {}
impl Check for units::Vcpus {}
impl Check for units::Count {}
impl Check for units::Bytes {}
impl Check for units::Generation {}
impl<M> Check for Id<M> {}
impl Check for String {
    fn check(&self) -> Result<(), String> {
        if self.len() > MAX_TEXT {
            return Err(format!("the text has {} bytes: use at most {MAX_TEXT}", self.len()));
        }
        if self.contains('\0') {
            return Err("the text contains a NUL character: leave it out".to_owned());
        }
        Ok(())
    }
}
impl<T: Check> Check for Option<T> {
    fn check(&self) -> Result<(), String> {
        self.as_ref().map_or(Ok(()), Check::check)
    }
}
impl<T: Check> Check for Vec<T> {
    fn check(&self) -> Result<(), String> {
        if self.len() > 1000 {
            return Err(format!("the list has {} entries: use at most 1000", self.len()));
        }
        self.iter().try_for_each(Check::check)
    }
}
impl<T: Check> Check for BTreeMap<String, T> {
    fn check(&self) -> Result<(), String> {
        if self.len() > 1000 {
            return Err(format!("the map has {} entries: use at most 1000", self.len()));
        }
        self.values().try_for_each(Check::check)
    }
}

/// Reads a field of a patch that can be set but not cleared: `null` is refused.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a field of a patch that can be set or cleared: `null` is `Some(None)`, absent stays `None`.
#[allow(clippy::option_option, reason = "keep, clear and set are the three values of RFC 7396")]
pub fn cleared_or_set<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
