//! A real server on loopback.

use crate::{
    http::no_such_route,
    owner::Running,
    testkit::Actors,
    tls::{ServingTls, client_certificate},
    token::Verifier,
};
use actix_web::{
    App, HttpServer,
    dev::{ServerHandle, Service as _},
    web,
};
use cirro_client::{Credential, Http, Place, Reach, Tls};
use cirro_models::SiteRole;
use parking_lot::Mutex;
use std::sync::Arc;

/// Services on a free port of loopback; they end when this is dropped.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// A client of it, which shows no certificate.
    pub http: Arc<Http>,
    /// What it shows, if it speaks TLS.
    pub tls: Option<ServingTls>,
    requests: Arc<Mutex<Vec<String>>>,
    handle: ServerHandle,
}

impl Server {
    /// Serves what is put together.
    pub async fn start(services: Vec<Running>, actors: &Actors) -> Self {
        Self::serve(services, &actors.verifier, None).await
    }
    /// The same over TLS: it shows this credential, and knows its peers by their certificates.
    pub async fn start_tls(services: Vec<Running>, verifier: &Arc<Verifier>, shown: &Credential) -> Self {
        Self::serve(services, verifier, Some(shown)).await
    }
    #[allow(clippy::unused_async, reason = "it can only be called where a runtime is")]
    async fn serve(services: Vec<Running>, verifier: &Arc<Verifier>, shown: Option<&Credential>) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, verifier) = (requests.clone(), verifier.clone());
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
        let server = server.on_connect(client_certificate);
        let free = ("127.0.0.1", 0);
        let tls = shown.map(|shown| ServingTls::new(shown).expect("the credential can be shown"));
        let server = match tls.as_ref().zip(shown) {
            None => server.bind(free),
            Some((tls, shown)) => server.bind_openssl(free, tls.acceptor(shown).expect("OpenSSL takes it")),
        };
        let server = server.expect("loopback has no free port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        let (url, http) = match shown {
            None => {
                let url = format!("http://{address}");
                let http = Http::new(&url, None).expect("the address is one");
                (url, http)
            }
            Some(shown) => {
                let url = format!("https://{address}");
                let tls = Tls::site(shown.ca(), None).expect("the authority can be trusted");
                let http = client(&url, &tls.expecting(&shown.role().uri(shown.site())));
                (url, http)
            }
        };
        Self { url, http: Arc::new(http), tls, requests, handle }
    }
    /// A client that shows this credential, and takes the server for what is in this role.
    pub fn peer(&self, shown: &Credential, server: SiteRole) -> Arc<Http> {
        let tls = shown.tls().expect("the credential can be shown");
        Arc::new(client(&self.url, &tls.expecting(&server.uri(shown.site()))))
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

fn client(url: &str, tls: &Tls) -> Http {
    let place = url.parse::<Place>().expect("the address is one");
    let reach = Reach { tls: Some(tls.clone()), ..Reach::default() };
    Http::everything_at(&place, &reach).expect("a client can be made")
}

impl Drop for Server {
    fn drop(&mut self) {
        // the server ends on its own; nobody waits for it
        drop(self.handle.stop(false));
    }
}
