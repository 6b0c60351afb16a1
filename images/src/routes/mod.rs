//! `PUT` and `GET /images/v1/machineimage/{id}/bytes`: the only part of the service that knows HTTP.

mod describe;
mod download;
mod range;
mod upload;

pub(crate) use describe::describe;

use actix_web::web::{self, ServiceConfig};
use cirro_models::{Error, Id, Model, Result, images::MachineImage};
use cirro_server::http::no_such_route;

/// Carries the digest of an image's bytes, both ways: 64 hexadecimal digits.
pub(crate) const SHA256_HEADER: &str = "x-cirro-sha256";

/// Adds the routes.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/machineimage/{id}/bytes")
            .route(web::put().to(upload::upload))
            .route(web::get().to(download::download))
            .default_service(web::to(no_such_route)),
    );
}

/// What is no id can't exist: the answer is the same.
fn image_id(text: &str) -> Result<Id<MachineImage>> {
    text.parse().map_err(|_| Error::not_found(MachineImage::PATH, text.chars().take(64).collect::<String>()))
}
