//! A Cirro site: one process ([`up`]), or each service in processes of its own ([`serve`]) with what they share
//! ([`site`]) behind a service bus ([`bus`]); and nodes without hardware for both ([`simulated`]).

pub mod bus;
mod data;
mod http;
mod limits;
pub mod logs;
mod metrics;
pub mod serve;
pub mod simulated;
pub mod site;
pub mod spans;
mod tasks;
pub mod up;

pub use cirro_compute::fence::Patience;
