//! What the processes of a site share: its authority and credentials ([`init()`]).

mod init;

pub use init::{AUTHORITY, FIRST_ADMIN, Made, init};
