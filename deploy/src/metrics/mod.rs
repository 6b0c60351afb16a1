//! `/metrics` of a process, for Prometheus.
//!
//! Nearly all of it is counted by its own part of Cirro in plain atomics, and only put into words here; so a page is a
//! few dozen lines of our own, and no recorder that all parts would have to share and know.

mod page;
mod process;
mod token;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::{self, Data, ServiceConfig},
};
use cirro_client::Http;
use cirro_models::{Error, Result, Timestamp, alert::Alert};
use cirro_server::{
    http::{Failure, nothing_here},
    owner::{Census, Running},
    token::Verifier,
};
use page::{Kind, Page};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use token::Token;

/// How long the databases may take for what is counted there; without it, the rest is told.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a process tells Prometheus.
pub(crate) struct Exporter {
    token: Token,
    started: Timestamp,
    services: Vec<Running>,
    /// The way to other processes.
    client: Option<Arc<Http>>,
    verifier: Arc<Verifier>,
}

/// What is asked of a service's database.
struct Asked<'s> {
    service: &'s str,
    answers: bool,
    held_back: Option<i64>,
    census: Vec<Census>,
}

impl Exporter {
    /// For whoever shows the token in this file; without a file, for nobody.
    pub(crate) async fn new(
        token_file: Option<&Path>,
        services: &[&Running],
        client: Option<Arc<Http>>,
        verifier: &Arc<Verifier>,
    ) -> Result<Option<Arc<Self>>> {
        let Some(file) = token_file.map(Path::to_owned) else { return Ok(None) };
        let token = tokio::task::spawn_blocking(move || Token::load(&file)).await.map_err(Error::internal)??;
        let services = services.iter().map(|&running| running.clone()).collect();
        Ok(Some(Arc::new(Self { token, started: Timestamp::now(), services, client, verifier: verifier.clone() })))
    }
    /// Its route; a scraper without the token is told that there is none.
    pub(crate) fn configure(exporter: Option<Arc<Self>>) -> impl Fn(&mut ServiceConfig) + Clone {
        move |config| {
            if let Some(exporter) = &exporter {
                config.app_data(Data::from(exporter.clone())).route("/metrics", web::get().to(answer));
            }
        }
    }
    async fn page(&self) -> Result<String> {
        let mut asked = Vec::new();
        for running in &self.services {
            asked.push(ask(running).await);
        }
        let mut page = Page::default();
        self.build(&mut page);
        self.requests(&mut page);
        self.databases(&mut page, &asked);
        self.trust(&mut page);
        self.client(&mut page);
        alerts(&mut page);
        censuses(&mut page, &asked);
        // the kernel's files are read apart from what serves
        let write = move || {
            process::write(&mut page);
            page.text()
        };
        tokio::task::spawn_blocking(write).await.map_err(Error::internal)
    }

    fn build(&self, page: &mut Page) {
        page.family("cirro_build_info", Kind::Gauge, "The release; always 1.")
            .value(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        let started = self.started.micros() / 1_000_000;
        page.family("process_start_time_seconds", Kind::Gauge, "When the process started, in seconds since 1970.")
            .value(&[], started);
    }
    fn requests(&self, page: &mut Page) {
        let all = || self.services.iter().map(|running| (running.service().name(), &running.requests));
        page.family("cirro_requests_total", Kind::Counter, "Requests that were answered.");
        for (service, requests) in all() {
            for of in requests.answered() {
                for (status, count) in &of.answers {
                    let labels =
                        [("service", service), ("method", of.method), ("route", of.route), ("status", *status)];
                    page.value(&labels, count);
                }
            }
        }
        page.family("cirro_request_duration_seconds", Kind::Histogram, "Time until an answer began.");
        for (service, requests) in all() {
            for of in requests.answered() {
                page.histogram(&[("service", service), ("method", of.method), ("route", of.route)], &of.took);
            }
        }
        page.family("cirro_requests_in_flight", Kind::Gauge, "Requests under way, those that wait for news included.");
        for (service, requests) in all() {
            page.value(&[("service", service)], requests.under_way());
        }
    }
    fn databases(&self, page: &mut Page, asked: &[Asked<'_>]) {
        let loads: Vec<_> =
            self.services.iter().map(|running| (running.service().name(), running.database().load())).collect();
        page.family("cirro_database_up", Kind::Gauge, "Whether the service's database answers.");
        for of in asked {
            page.value(&[("service", of.service)], u8::from(of.answers));
        }
        page.family("cirro_database_queue", Kind::Gauge, "What waits for the database.");
        for (service, load) in &loads {
            page.value(&[("service", service), ("of", "queries")], load.queries);
            page.value(&[("service", service), ("of", "writes")], load.writes);
        }
        page.family("cirro_database_commit_duration_seconds", Kind::Histogram, "Time to make changes durable.");
        for (service, load) in &loads {
            page.histogram(&[("service", service)], &load.commits);
        }
        page.family("cirro_feed_readers", Kind::Gauge, "Readers of the change feed that wait for news.");
        for (service, load) in &loads {
            page.value(&[("service", service)], load.watching);
        }
        let lag = "Entries of the change feed that nobody can read yet, because an older change is under way.";
        page.family("cirro_feed_lag_entries", Kind::Gauge, lag);
        for of in asked {
            if let Some(held_back) = of.held_back {
                page.value(&[("service", of.service)], held_back);
            }
        }
    }
    fn trust(&self, page: &mut Page) {
        page.family("cirro_revocations", Kind::Gauge, "Revocations that are held.")
            .value(&[], self.verifier.revocations());
        page.family("cirro_revocations_age_seconds", Kind::Gauge, "Since when nothing was heard of revocations.");
        if let Some(age) = self.verifier.revocations_age() {
            page.value(&[], format!("{:.3}", age.as_secs_f64()));
        }
    }
    fn client(&self, page: &mut Page) {
        let Some(client) = &self.client else { return };
        client.metrics().each(|name, value| {
            let kind = if name.ends_with("_total") { Kind::Counter } else { Kind::Gauge };
            page.family(name, kind, "Counted by the client stack: see models/client/src/metrics.rs.").value(&[], value);
        });
    }
}

fn alerts(page: &mut Page) {
    page.family("cirro_alerts_total", Kind::Counter, "How often each alert was raised.");
    for alert in Alert::ALL {
        page.value(&[("alert", alert.name())], alert.raised());
    }
}

fn censuses(page: &mut Page, asked: &[Asked<'_>]) {
    // services may count the same; a name stands on a page once
    let all = || asked.iter().flat_map(|of| of.census.iter().map(|census| (of.service, census)));
    let names: BTreeMap<_, _> = all().map(|(_, census)| (census.name, census.what)).collect();
    for (name, what) in names {
        page.family(name, Kind::Gauge, what);
        for (service, census) in all().filter(|(_, census)| census.name == name) {
            for (value, count) in &census.counts {
                page.value(&[("service", service), (census.by, value)], count);
            }
        }
    }
}

async fn ask(running: &Running) -> Asked<'static> {
    let service = running.service().name();
    let feed = running.database().feed().clone();
    let held_back = tokio::time::timeout(PATIENCE, running.database().read(move |c| feed.held_back(c))).await;
    let held_back = held_back.ok().and_then(Result::ok);
    let census = match held_back {
        Some(_) => tokio::time::timeout(PATIENCE, running.census()).await.ok().and_then(Result::ok),
        None => None,
    };
    Asked { service, answers: held_back.is_some(), held_back, census: census.unwrap_or_default() }
}

async fn answer(request: HttpRequest, exporter: Data<Exporter>) -> HttpResponse {
    if !exporter.token.is_shown(request.headers()) {
        return nothing_here(&request);
    }
    match exporter.page().await {
        Ok(text) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, page::CONTENT_TYPE))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(text),
        Err(error) => actix_web::ResponseError::error_response(&Failure::of(&request, error)),
    }
}
