//! The HTTP side of a process that serves, in the clear on loopback or with the site's certificates.

use crate::{metrics::Exporter, serve::status::Teller};
use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    middleware::DefaultHeaders,
    web,
};
use cirro_client::Credential;
use cirro_models::{Error, Result, Service};
use cirro_server::{
    http::{docs, no_such_route},
    owner::Running,
    tls::{ServingTls, client_certificate},
    token::Verifier,
};
use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// How long a new connection may take to say what it asks, as with nginx. Where much more is asked than can be done, callers and we
/// are late: who is told 408 then has done nothing wrong.
const FIRST_WORDS: Duration = Duration::from_mins(1);
/// How long it may take to shake hands before that. A caller that is sent away after most of the work would only come again: ten thousand
/// nodes that did would keep each other out.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Takes the address.
pub(crate) fn bind(listen: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(listen).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Error::conflict(format!(
            "{listen} is already in use, perhaps by another process of Cirro: end that, or give another address with --listen"
        )),
        _ => Error::unavailable(format!("{listen} can't be listened on ({error}): give another address with --listen")),
    })
}

/// How a process serves.
pub(crate) struct Serving<'s> {
    /// What it serves.
    pub(crate) services: Vec<&'s Running>,
    /// Who is asking.
    pub(crate) verifier: &'s Arc<Verifier>,
    /// What it proves its role with; without it, it serves in the clear.
    pub(crate) tls: Option<(&'s ServingTls, &'s Credential)>,
    /// What it tells of itself to its own site.
    pub(crate) teller: Option<Arc<Teller>>,
    /// What it tells Prometheus.
    pub(crate) exporter: Option<Arc<Exporter>>,
    /// How long requests under way are given when it ends.
    pub(crate) grace: Duration,
}

/// The server; it runs when it is awaited.
pub(crate) fn start(listener: TcpListener, serving: &Serving<'_>) -> Result<(Server, ServerHandle)> {
    let services: Vec<_> = serving.services.iter().map(|running| running.configure(serving.verifier)).collect();
    let pages = docs(Service::ALL.to_vec());
    let (status, metrics) = (Teller::configure(serving.teller.clone()), Exporter::configure(serving.exporter.clone()));
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
            .configure(status.clone())
            .configure(metrics.clone())
            .default_service(web::to(no_such_route));
        services.iter().fold(app, |app, service| app.configure(service.clone()))
    })
    .workers(workers)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(FIRST_WORDS)
    .tls_handshake_timeout(HANDSHAKE)
    // small answers must not wait for the acknowledgement of earlier ones
    .tcp_nodelay(true)
    .shutdown_timeout(serving.grace.as_secs())
    .disable_signals();
    let server = match serving.tls {
        None => server.listen(listener),
        Some((tls, credential)) => {
            server.on_connect(client_certificate).listen_openssl(listener, tls.acceptor(credential)?)
        }
    };
    let server = server.map_err(Error::internal)?.run();
    let handle = server.handle();
    Ok((server, handle))
}

/// Waits until the process is told to end: by a signal, or, where it was asked for, by the end of its standard input, which
/// a parent's end is.
pub(crate) async fn wait_for_the_end(by_stdin: bool) -> Result<()> {
    let mut term = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut int = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    let closed = async {
        if !by_stdin {
            std::future::pending::<()>().await;
        }
        // whatever is said there, only its end counts; and one that can't be read has ended
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {}, () = closed => {} }
    Ok(())
}
