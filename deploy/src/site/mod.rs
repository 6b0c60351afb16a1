//! A site of several processes: its authority and credentials ([`init()`]), all of it on one machine ([`up`]), and copies of
//! what must not be lost ([`backup`]).

pub mod backup;
mod init;
mod status;
pub mod up;

pub use init::{AUTHORITY, FIRST_ADMIN, METRICS_TOKEN, Made, init};
pub use status::{Part, Process, SiteStatus, Whole};
