//! A Cirro site: one process ([`up`]), or each service in processes of its own ([`serve`]) with what they share
//! ([`site`]) behind a service bus ([`bus`]).

pub mod bus;
mod data;
mod http;
pub mod logs;
mod metrics;
pub mod serve;
pub mod site;
pub mod spans;
mod tasks;
pub mod up;

pub use cirro_compute::fence::Patience;
