//! What tests of services stand on: throw-away databases, named actors with tokens, a real server on a free port, and
//! the check that migrated tables are what the models say. Only with the feature `testkit`, in dev-dependencies.
//!
//! ```no_run
//! use cirro_models::{Service, Verbs, identity::User};
//! use cirro_server::{Owner, Plain, db::Migrations, testkit::{Actors, Backend, Server, schema_differences}};
//!
//! # async fn example(migrations: fn() -> Migrations) -> cirro_models::Result<()> {
//! for backend in Backend::BOTH {
//!     let scratch = backend.open(migrations()).await?;
//!     let owner = Owner::new(Service::Identity, scratch.database.clone()).owns::<User>(Plain);
//!     let running = Owner::mount_together(vec![owner]).remove(0);
//!     assert_eq!(schema_differences(&running).await?, Vec::<String>::new());
//!
//!     let actors = Actors::new();
//!     let server = Server::start(vec![running.clone()], &actors).await;
//!     let member = actors.member();
//!     User::list(&member.inside(&running), &Default::default(), &Default::default()).await?; // in the owner's process
//!     User::list(&member.over(&server), &Default::default(), &Default::default()).await?; // over HTTP
//!     assert_eq!(server.requests(), ["GET /identity/v1/user"]);
//! }
//! # Ok(()) }
//! ```
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a test that can't be set up fails with a sentence")]

mod actors;
mod call;
mod document;
mod matrix;
mod pen;
mod probe;
mod schema;
mod scratch;
mod server;

pub use actors::{Actor, Actors};
pub use call::{Told, eventually};
pub use document::{Operation, check_document, document, document_faults, operations, sample};
pub use matrix::Matrix;
pub use pen::Pen;
pub use probe::{Own, probe_as_stranger, probe_without_token};
pub use schema::schema_differences;
pub use scratch::{Backend, Empty, Scratch};
pub use server::Server;
