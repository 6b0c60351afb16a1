//! The operations on the service's models, where they differ from the defaults.

mod attachments;
mod storage_pools;
mod volumes;

pub(crate) use attachments::{Attachments, begin_detach};
pub(crate) use storage_pools::StoragePools;
pub(crate) use volumes::Volumes;

use cirro_models::Error;

/// A missing reference is a value that can't be used, named by its field.
fn named(field: &'static str, error: Error) -> Error {
    if error.is_not_found() { Error::invalid(field, error.to_string()) } else { error }
}
