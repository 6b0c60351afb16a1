//! A site of several processes: its authority and credentials ([`init()`]), and all of it on one machine ([`up`]).

mod init;
pub mod up;

pub use init::{AUTHORITY, FIRST_ADMIN, Made, init};
