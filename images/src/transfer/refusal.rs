//! What a caller is told of a fault of bytes.

use crate::bytes::{BytesError, Category};
use cirro_models::Error;

/// Seconds after which another try may find that an operator has acted.
const OPERATOR_ACTS_S: u32 = 60;

/// The fault as one of the errors of the API; what an operator has to mend is logged here, once.
pub(crate) fn refusal(error: &BytesError) -> Error {
    let detail = error.to_string();
    match error.category() {
        Category::Invalid => {
            let field = error.fault.field().unwrap_or("bytes");
            Error::invalid(if field == "size" { "size_bytes" } else { field }, detail)
        }
        Category::Incomplete => Error::Malformed { detail },
        Category::TooLarge => Error::TooLarge { detail },
        Category::Conflict | Category::Missing => Error::conflict(detail),
        Category::Unavailable => {
            tracing::error!(error = error as &dyn std::error::Error, "the image store can't do its work");
            Error::Unavailable { detail, retry_after_s: OPERATOR_ACTS_S }
        }
    }
}
