//! The compute service: machines that run guests, and the guests.

pub mod audit;
mod backoff;
mod census;
mod claims;
mod controllers;
pub mod defaults;
pub mod fence;
mod heartbeats;
mod holdings;
mod launch;
mod presence;
mod rebuild;
mod records;
mod resize;
mod routes;
pub mod schedule;
pub mod states;
pub mod tasks;

use cirro_models::{
    Service,
    compute::{ConsoleLog, Flavor, Instance, InstanceAction, LaunchPlan, Node, SshKey, UnclaimedGuest},
};
use cirro_server::{Database, Owner, db::Migrations};
use diesel_migrations::embed_migrations;
use fence::Takeover;
pub use launch::Expansion;
use std::sync::Arc;

/// The tables of this service.
pub const MIGRATIONS: Migrations = Migrations(embed_migrations!("migrations"));

/// The service, as it is where no node is ever taken over from.
pub fn service(database: Database) -> Owner {
    service_with(database, Takeover::default())
}

/// The service: what it owns, what else it answers, and how it takes over from nodes that are lost.
pub fn service_with(database: Database, takeover: Takeover) -> Owner {
    Owner::new(Service::Compute, database)
        .owns::<Flavor>(controllers::Flavors)
        .owns::<SshKey>(controllers::SshKeys)
        .owns::<Node>(controllers::Nodes)
        .owns::<Instance>(controllers::Instances)
        .owns::<LaunchPlan>(controllers::LaunchPlans)
        .owns::<InstanceAction>(controllers::InstanceActions)
        .owns::<ConsoleLog>(controllers::ConsoleLogs)
        .owns::<UnclaimedGuest>(controllers::UnclaimedGuests)
        .answers(routes::assignment::routes, routes::assignment::describe)
        .answers(routes::report::routes, routes::report::describe)
        .answers(routes::heartbeat::routes, routes::heartbeat::describe)
        .answers(routes::lease::routes, routes::lease::describe)
        .answers(routes::capacity::routes, routes::capacity::describe)
        .answers(routes::why_not::routes, routes::why_not::describe)
        .audits(|ctx| Box::pin(audit::walk(ctx)))
        .charges(launch::CHARGES)
        .counts(|database| Box::pin(census::count(database)))
        .works::<launch::UndoPlan>()
        .works::<fence::FenceNode>()
        .shares(Arc::new(presence::Presence::default()))
        .shares(Arc::new(heartbeats::Heartbeats::default()))
        .shares(Arc::new(launch::Rates::default()))
        .shares(Arc::new(Expansion::default()))
        .shares(Arc::new(routes::assignment::Orders::default()))
        .shares(Arc::new(takeover))
}
