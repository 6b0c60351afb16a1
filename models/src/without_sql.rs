//! The other half of `sql::when_sql!`: without the feature, the derive's tables and statements are not compiled.

/// Leaves its content out.
#[macro_export]
macro_rules! when_sql {
    ($($content:tt)*) => {};
}
