//! The storage service: pools, volumes, and which instance has which volume.
//!
//! * `controllers`: what differs from the defaults for each model.
//! * `placement`: which pool a new volume goes to, decided in the transaction that makes it.
//! * `reported`: what a node's report changes, decided purely.
//! * `routes`: what a node should have, and what it says it has.
//! * [`tasks`]: taking disks away from instances that are gone.

pub mod audit;
mod controllers;
pub mod defaults;
mod placement;
mod records;
mod reported;
mod routes;
pub mod tasks;

use cirro_models::{
    Service,
    storage::{Attachment, StoragePool, Volume},
};
use cirro_server::{Database, Owner, db::Migrations};
use controllers::{Attachments, StoragePools, Volumes};
use diesel_migrations::embed_migrations;
use std::sync::Arc;

/// The service's tables.
pub const MIGRATIONS: Migrations = Migrations(embed_migrations!("migrations"));

/// The service: what it owns and what else it answers. Run [`tasks::run`] beside it.
pub fn service(database: Database) -> Owner {
    Owner::new(Service::Storage, database)
        .owns::<StoragePool>(StoragePools)
        .owns::<Volume>(Volumes)
        .owns::<Attachment>(Attachments)
        .charges(records::CHARGES)
        .answers(routes::assignment::routes, routes::assignment::describe)
        .answers(routes::report::routes, routes::report::describe)
        .audits(|ctx| Box::pin(audit::walk(ctx)))
        .shares(Arc::new(routes::report::LastReports::default()))
        .shares(Arc::new(routes::assignment::Orders::default()))
}
