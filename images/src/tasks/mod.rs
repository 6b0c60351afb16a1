//! What the service does without being asked.

mod remove;
mod tidy;

pub(crate) use remove::RemoveImage;
pub use tidy::{Tidied, run, tidy};
