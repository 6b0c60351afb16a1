//! HTTP: the only part of the server side that knows methods, statuses and headers.

mod address;
mod asked;
mod audit;
mod body;
mod caller;
mod change;
mod docs;
mod events;
mod findings;
mod job;
pub mod openapi;
mod problem;
mod quota;
mod rendered;
mod resource;
mod unchanged;

pub use address::{CLIENT_HEADER, client_address, place_of};
pub use asked::Asked;
pub use body::{json, query};
pub use caller::{Caller, Shared, bearer, certified, still_known};
pub use docs::docs;
pub(crate) use events::Room;
pub use events::Sockets;
pub use openapi::{document, operation};
pub use problem::{Failure, no_such_route, nothing_here};
pub use quota::{Charges, Reserved};
pub(crate) use rendered::Rendered;
pub use resource::{Resource, answer};
pub use unchanged::{may_be_unchanged, pollable, polled};

use crate::{owner::Running, token::Verifier};
use actix_web::{
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use std::sync::Arc;

/// The largest JSON body that is read.
pub const MAX_BODY: usize = 1024 * 1024;

/// A model as HTTP sees it, with its type forgotten.
pub(crate) trait MountedModel: Send + Sync {
    /// Adds its routes.
    fn routes(&self, config: &mut ServiceConfig);
    /// Adds its operations and schemas to the OpenAPI document.
    fn describe(&self, document: &mut utoipa::openapi::OpenApi);
}

/// The routes of a service, under `/<service>/v1`.
pub(crate) fn configure(running: Running, verifier: Arc<Verifier>) -> impl Fn(&mut ServiceConfig) + Clone {
    let document = Arc::new(openapi::Document::of(running.owner.clone()));
    move |config| {
        let (stores, keys) = (running.stores.clone(), running.keys.clone());
        let shared = Shared { stores, verifier: verifier.clone(), keys };
        let document = document.clone();
        let (owner, counts) = (running.owner.clone(), running.requests.clone());
        let scope = web::scope(&format!("/{}/v1", owner.service().name()))
            .app_data(web::Data::new(shared))
            .app_data(web::PayloadConfig::new(MAX_BODY))
            // first what nodes ask all day: routes are tried in their order
            .configure(|config| owner.routes.iter().for_each(|routes| routes(config)))
            .route("/openapi.json", web::get().to(move || openapi::serve(document.clone())))
            .configure(|config| change::routes(config, &owner))
            .configure(|config| events::routes(config, &owner))
            .configure(|config| audit::routes(config, &owner))
            .configure(|config| findings::routes(config, &owner))
            .configure(|config| job::routes(config, &owner))
            .configure(|config| quota::routes(config, &owner))
            .configure(|config| owner.models.iter().for_each(|model| model.routes(config)))
            .default_service(web::to(no_such_route));
        let watched = from_fn(move |request, next| asked::served(counts.clone(), request, next));
        config.service(scope.wrap(watched));
    }
}
