//! The images service: machine images and their bytes.
//!
//! * [`bytes`]: received, judged, kept, handed out; knows nothing of databases and HTTP.
//! * `controllers`: what differs from the defaults for the rows.
//! * `transfer`: where rows and bytes meet: an upload's lease, its reservation of quota, who may read.
//! * `routes`: `PUT` and `GET …/machineimage/{id}/bytes`.
//! * [`audit`]: what of all this has no owner.
//! * [`defaults`]: an image for a site where people try things out.
//! * [`tasks`]: what is deferred, and what is put in order at start and from then on.

pub mod audit;
pub mod bytes;
mod controllers;
pub mod defaults;
mod routes;
pub mod tasks;
mod transfer;

use crate::{bytes::ByteStore, controllers::MachineImages, tasks::RemoveImage, transfer::Transfers};
use cirro_models::{Service, images::MachineImage};
use cirro_server::{Database, Owner, db::Migrations};
use diesel_migrations::embed_migrations;
use std::sync::Arc;

pub use transfer::UploadLimits;

/// The service's tables.
pub const MIGRATIONS: Migrations = Migrations(embed_migrations!("migrations"));

/// The service: one model, and its bytes in `bytes`. Run [`tasks::run`] beside it.
pub fn service(database: Database, bytes: ByteStore, limits: &UploadLimits) -> Owner {
    Owner::new(Service::Images, database)
        .owns::<MachineImage>(MachineImages)
        .works::<RemoveImage>()
        .audits(|ctx| Box::pin(audit::walk(ctx)))
        .charges(transfer::CHARGES)
        .answers(routes::routes, routes::describe)
        .shares(Arc::new(Transfers::new(bytes, limits)))
}
