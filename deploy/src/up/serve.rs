//! The HTTP side of a site in one process.

use crate::up::services::Site;
use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    middleware::DefaultHeaders,
    web,
};
use cirro_models::{Error, Result, Service};
use cirro_server::http::{docs, no_such_route};
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

/// Seconds that requests under way are given when the site ends.
const GRACE_S: u64 = 3;
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Takes the address.
pub(crate) fn bind(listen: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(listen).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Error::conflict(format!(
            "{listen} is already in use: another `cirro up` may be running (see `cirro login --url http://{listen}`), or give another address with --listen"
        )),
        _ => Error::unavailable(format!("{listen} can't be listened on ({error}): give another address with --listen")),
    })
}

/// The server of all services of the site; it runs when it is awaited.
pub(crate) fn start(listener: TcpListener, site: &Site) -> Result<(Server, ServerHandle)> {
    let verifier = site.verifier.clone();
    let services: Vec<_> = site.all().into_iter().map(|running| running.configure(&verifier)).collect();
    let pages = docs(Service::ALL.to_vec());
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().min(4));
    let server = HttpServer::new(move || {
        let plain =
            DefaultHeaders::new().add(("x-content-type-options", "nosniff")).add(("referrer-policy", "no-referrer"));
        let app = App::new()
            .wrap(plain)
            .route("/healthz", web::get().to(|| async { HttpResponse::Ok().body("ok\n") }))
            .route(
                "/",
                web::get().to(|| async { HttpResponse::Found().insert_header(("location", "/docs/")).finish() }),
            )
            .configure(pages.clone())
            .default_service(web::to(no_such_route));
        services.iter().fold(app, |app, service| app.configure(service.clone()))
    })
    .workers(workers)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(GRACE_S)
    .disable_signals()
    .listen(listener)
    .map_err(Error::internal)?
    .run();
    let handle = server.handle();
    Ok((server, handle))
}
