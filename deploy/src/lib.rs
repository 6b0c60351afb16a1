//! A site: the services put together, in one process or in many.

pub mod up;
