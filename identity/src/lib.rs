//! The identity service: who may do what.

mod attempts;
pub mod audit;
pub mod authority;
pub mod bootstrap;
mod claimed;
mod controllers;
mod enrolment;
mod exchange;
pub mod keys;
mod login;
mod password;
mod records;
mod rights;
mod routes;
mod signer;
pub mod tasks;

pub use signer::Signer;

use authority::Authority;
use cirro_models::{
    Result, Service,
    identity::{ApiKey, Grant, Group, GroupMember, JoinToken, Project, Revocation, TokenKey, User},
};
use cirro_server::{Database, Owner, db::Migrations, token::Verifier};
use diesel_migrations::embed_migrations;
use std::sync::Arc;

/// The tables of this service.
pub const MIGRATIONS: Migrations = Migrations(embed_migrations!("migrations"));

/// The service: what it owns and what else it answers. `verifier` learns its keys;
/// [`cirro_server::token::follow`] tells it what is revoked. A site of one process has no authority: nobody joins it.
pub async fn service(database: Database, verifier: Arc<Verifier>, authority: Option<Arc<Authority>>) -> Result<Owner> {
    let attempts = Arc::new(attempts::Attempts::new(database.clone(), verifier.clone()));
    let signer = Arc::new(Signer::open(&database, verifier).await?);
    let exchange =
        exchange::OwnExchange { database: database.clone(), signer: signer.clone(), attempts: attempts.clone() };
    let owner = Owner::new(Service::Identity, database)
        .owns::<User>(controllers::Users)
        .owns::<Project>(controllers::Projects)
        .owns::<Group>(controllers::Groups)
        .owns::<GroupMember>(controllers::GroupMembers)
        .owns::<Grant>(controllers::Grants)
        .owns::<ApiKey>(controllers::ApiKeys)
        .owns::<Revocation>(controllers::Revocations)
        .owns::<TokenKey>(controllers::TokenKeys)
        .owns::<JoinToken>(controllers::JoinTokens)
        .answers(routes::token::routes, routes::token::describe)
        .answers(routes::me::routes, routes::me::describe)
        .answers(routes::enrolment::routes, routes::enrolment::describe)
        .audits(|ctx| Box::pin(audit::walk(ctx)))
        .exchanges(Arc::new(exchange))
        .shares(signer)
        .shares(attempts);
    Ok(match authority {
        Some(authority) => owner.shares(authority),
        None => owner,
    })
}
