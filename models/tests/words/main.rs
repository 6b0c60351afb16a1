//! The small words that all of Cirro speaks: names, units, choices, errors, patches, positions.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails where it is")]

mod errors;
mod values;
mod views;
