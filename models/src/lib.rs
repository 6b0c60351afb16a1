//! What exists in a Cirro site: the models, and the few words that all of Cirro speaks.
//!
//! A *model* is one kind of thing the API manages, declared once as a struct with `#[derive(Model)]`. Its verbs
//! ([`Verbs`]) read the same wherever they are called: `User::get(&ctx, id)` is a database query inside the service
//! that owns users and an HTTP call everywhere else. Which of the two it is, is decided by the [`Stores`] of the
//! [`Context`], at run time.
//!
//! This crate does no I/O of its own. The feature `sql`, which `cirro-server` turns on, compiles the diesel tables and
//! statements of every model; it chooses no store.

// The derive names this crate by its public name, also from inside.
extern crate self as cirro_models;

pub mod alert;
pub mod audit;
mod batch;
pub mod choice;
pub mod compute;
pub mod context;
pub mod error;
pub mod events;
pub mod feed;
pub mod finding;
pub mod id;
pub mod identity;
pub mod images;
pub mod meta;
pub mod model;
pub mod name;
pub mod page;
pub mod patch;
pub mod permission;
pub mod problem;
pub mod queue;
pub mod remote;
pub mod site_role;
#[cfg(feature = "sql")]
pub mod sql;
pub mod storage;
pub mod store;
pub mod subject;
pub mod trace;
pub mod units;
#[cfg(not(feature = "sql"))]
mod without_sql;

pub use cirro_derive::Model;
pub use context::Context;
pub use error::{Error, Result};
pub use id::Id;
pub use meta::{Labels, Meta, Timestamp};
pub use model::{Created, Deleted, Model, ModelRef, Service, Verbs};
pub use name::Name;
pub use page::{Listing, Page};
pub use permission::{Reach, Role, Scope};
pub use site_role::SiteRole;
pub use store::{Store, Stores};
pub use subject::{Principal, Subject};
pub use trace::Trace;
pub use units::{Bytes, Count, Generation, GiB, MiB, Vcpus};

/// What the derive's output may name; no promise to anybody else.
#[doc(hidden)]
pub mod __private {
    pub use crate::meta::PartialMeta;
    pub use crate::patch::{Check, cleared_or_set, present};
    #[cfg(feature = "sql")]
    pub use diesel;
    pub use {serde, serde_json, utoipa};
}
