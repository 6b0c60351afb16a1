//! How a process says that it is: `GET /status`, for those who prove by certificate that they belong to the site.
//!
//! It is asked at the process itself and not through the bus, so that it answers when identity, the bus or the database
//! does not: no token is needed, and nothing of it is worth one.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, ServiceConfig},
};
use cirro_models::{SiteRole, Timestamp};
use cirro_server::{http::nothing_here, owner::Running, tls::Peer, token::Verifier};
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a process says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The service.
    pub service: String,
    /// Its release.
    pub version: String,
    /// Its number on its machine.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// For how long, in seconds; by its own clock, whatever the time of day does.
    pub uptime_s: u64,
    /// Whether its database answers.
    pub database: bool,
    /// How long that took, in milliseconds.
    pub database_ms: u64,
    /// Whether it knows whose tokens to trust.
    pub knows_keys: bool,
    /// How long ago it was last known that it holds all revocations, in seconds.
    #[serde(default)]
    pub revocations_age_s: Option<u64>,
    /// Requests under way.
    pub in_flight: i64,
}

impl Status {
    /// What is not well with it, in a few words; nothing if all is.
    pub fn complaint(&self) -> Option<&'static str> {
        match self {
            Self { database: false, .. } => Some("its database does not answer"),
            Self { knows_keys: false, .. } => Some("it knows no keys of tokens: it has not reached identity"),
            Self { revocations_age_s: Some(61..), .. } => Some("it refuses changes: it does not reach identity"),
            _ => None,
        }
    }
}

/// A process that can say how it is.
pub(crate) struct Teller {
    running: Running,
    verifier: Arc<Verifier>,
    started_at: Timestamp,
    started: Instant,
}

impl Teller {
    pub(crate) fn new(running: &Running, verifier: &Arc<Verifier>) -> Arc<Self> {
        let (running, verifier) = (running.clone(), verifier.clone());
        Arc::new(Self { running, verifier, started_at: Timestamp::now(), started: Instant::now() })
    }
    /// Its route.
    pub(crate) fn configure(teller: Option<Arc<Self>>) -> impl Fn(&mut ServiceConfig) + Clone {
        move |config| {
            if let Some(teller) = &teller {
                config.app_data(Data::from(teller.clone())).route("/status", web::get().to(answer));
            }
        }
    }
    async fn status(&self) -> Status {
        let feed = self.running.database().feed().clone();
        let asked = Instant::now();
        let end = tokio::time::timeout(PATIENCE, self.running.database().read(move |c| feed.end(c))).await;
        let ms = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Status {
            service: self.running.service().name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at,
            uptime_s: self.started.elapsed().as_secs(),
            database: end.is_ok_and(|end| end.is_ok()),
            database_ms: ms(asked.elapsed()),
            knows_keys: self.verifier.knows_keys(),
            revocations_age_s: self.verifier.revocations_age().map(|age| age.as_secs()),
            in_flight: self.running.requests.under_way(),
        }
    }
}

async fn answer(request: HttpRequest, teller: Data<Teller>) -> HttpResponse {
    match Peer::of(&request).map(|peer| peer.role) {
        Some(SiteRole::Service(_) | SiteRole::Bus) => HttpResponse::Ok().json(teller.status().await),
        // nodes are not trusted with how the site is
        Some(SiteRole::Node(_) | SiteRole::Registry) | None => nothing_here(&request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_well_is_said() {
        let well = Status {
            service: "compute".to_owned(),
            version: "1".to_owned(),
            pid: 1,
            started_at: Timestamp::from_micros(0),
            uptime_s: 1,
            database: true,
            database_ms: 1,
            knows_keys: true,
            revocations_age_s: Some(60),
            in_flight: 0,
        };
        assert_eq!(well.complaint(), None);
        let cases = [
            Status { database: false, ..well.clone() },
            Status { knows_keys: false, ..well.clone() },
            Status { revocations_age_s: Some(61), ..well.clone() },
        ];
        assert!(cases.iter().all(|status| status.complaint().is_some()));
    }
}
