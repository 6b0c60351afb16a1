//! `/docs`: the API to read and to try, without anything from elsewhere.

use actix_web::{HttpRequest, HttpResponse, web};
use cirro_models::Service;
use std::sync::Arc;
use utoipa_swagger_ui::{Config, Url};

/// The routes of the documentation page for these services.
#[allow(clippy::needless_pass_by_value, reason = "what is returned would borrow it otherwise")]
pub fn docs(services: Vec<Service>) -> impl Fn(&mut web::ServiceConfig) + Clone {
    let urls: Vec<Url<'static>> =
        services.iter().map(|service| Url::new(service.name(), document_of(*service))).collect();
    let page = Arc::new(Config::new(urls));
    move |config| {
        let page = page.clone();
        config
            .route(
                "/docs",
                web::get().to(|| async { HttpResponse::Found().insert_header(("location", "/docs/")).finish() }),
            )
            .route("/docs/{file:.*}", web::get().to(move |request| serve(page.clone(), request)));
    }
}

#[allow(clippy::unused_async, reason = "a handler")]
async fn serve(page: Arc<Config<'static>>, request: HttpRequest) -> HttpResponse {
    let file = request.match_info().get("file").filter(|file| !file.is_empty()).unwrap_or("index.html");
    match utoipa_swagger_ui::serve(file, page) {
        Ok(Some(file)) => HttpResponse::Ok().content_type(file.content_type).body(file.bytes.into_owned()),
        _ => HttpResponse::NotFound().body("no such page: see /docs/"),
    }
}

const fn document_of(service: Service) -> &'static str {
    match service {
        Service::Identity => "/identity/v1/openapi.json",
        Service::Compute => "/compute/v1/openapi.json",
        Service::Storage => "/storage/v1/openapi.json",
        Service::Images => "/images/v1/openapi.json",
    }
}
