//! A real server on loopback.

use crate::{http::no_such_route, owner::Running, testkit::Actors};
use actix_web::{
    App, HttpServer,
    dev::{ServerHandle, Service as _},
    web,
};
use cirro_client::Http;
use parking_lot::Mutex;
use std::sync::Arc;

/// Services on a free port of loopback; they end when this is dropped.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// A client of it.
    pub http: Arc<Http>,
    requests: Arc<Mutex<Vec<String>>>,
    handle: ServerHandle,
}

impl Server {
    /// Serves what is put together.
    #[allow(clippy::unused_async, reason = "it can only be called where a runtime is")]
    pub async fn start(services: Vec<Running>, actors: &Actors) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, verifier) = (requests.clone(), actors.verifier.clone());
        let app = move || {
            let noted = noted.clone();
            let app = App::new().wrap_fn(move |request, inner| {
                noted.lock().push(format!("{} {}", request.method(), request.path()));
                inner.call(request)
            });
            services
                .iter()
                .fold(app, |app, running| app.configure(running.configure(&verifier)))
                .default_service(web::to(no_such_route))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(0);
        let server = server.bind(("127.0.0.1", 0)).expect("loopback has no free port");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        let http = Arc::new(Http::new(&url, None).expect("the address is one"));
        Self { url, http, requests, handle }
    }
    /// Every request that has come in, as `GET /compute/v1/instance`.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.requests.lock().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // the server ends on its own; nobody waits for it
        drop(self.handle.stop(false));
    }
}
