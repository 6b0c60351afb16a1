//! What storage does without being asked.

mod vanished;

pub use vanished::run;
