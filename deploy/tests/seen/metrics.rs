//! What a process tells Prometheus, and whom.

use crate::{kit::Several, shipped};
use cirro_client::{Credential, Http, Place, Reach};
use cirro_models::{Context, Service, SiteRole};
use std::{fs, sync::Arc};

struct Scraper {
    http: Http,
}

impl Scraper {
    /// One that calls a process at its own address; it proves nothing but what it is given to show.
    fn of(site: &Several, service: Service) -> Self {
        let credential = Credential::load(&site.data().join("site/bus")).unwrap();
        let role = SiteRole::Service(service).uri(credential.site());
        let tls = cirro_client::Tls::site(credential.ca(), None).unwrap().expecting(&role);
        let reach = Reach { tls: Some(tls), ..Reach::default() };
        let place = Place::Listed(vec![site.address(service.name())]);
        Self { http: Http::everything_at(&place, &reach).unwrap() }
    }
    async fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        get(&self.http, path, token).await
    }
}

async fn get(http: &Http, path: &str, token: Option<&str>) -> (u16, String) {
    let ctx = Context::client(Arc::default(), None);
    let shown = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = shown.iter().map(|shown| ("authorization", shown.as_str())).collect();
    let answer = http.answer(&ctx, "GET", path, None, &headers).await.unwrap();
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn metrics_are_for_who_shows_their_token_and_not_for_the_outside() {
    let site = Several::start("");
    let token = fs::read_to_string(site.data().join("site/metrics-token")).unwrap();
    let scraper = Scraper::of(&site, Service::Compute);
    for shown in [None, Some("another-token-of-some-length"), Some("")] {
        assert_eq!(scraper.get("/metrics", shown).await.0, 404, "{shown:?}");
    }
    assert_eq!(scraper.get("/status", None).await.0, 404, "who proves no role is told nothing");

    site.cirro(&["flavor", "list"]).text();
    let flavor = site.cirro(&["flavor", "show", "tiny", "-o", "json"]).json();
    let (code, page) = scraper.get("/metrics", Some(&token)).await;
    assert_eq!(code, 200);
    for line in [
        "cirro_requests_total{service=\"compute\",method=\"GET\",route=\"/compute/v1/flavor\",status=\"2xx\"} ",
        "cirro_request_duration_seconds_bucket{service=\"compute\",method=\"GET\",route=\"/compute/v1/flavor\",le=\"+Inf\"} ",
        "cirro_database_up{service=\"compute\"} 1",
        "cirro_alerts_total{alert=\"revocations_stale\"} ",
        "cirro_client_calls_total ",
        "cirro_build_info{version=",
        "process_resident_memory_bytes ",
    ] {
        assert!(page.lines().any(|told| told.starts_with(line)), "{line} is not in {page}");
    }
    assert!(!page.contains(flavor["id"].as_str().unwrap()), "no label is an id");
    let exported: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut unique = exported.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), exported.len(), "a name stands on a page once");
    for name in shipped::metrics() {
        assert!(exported.contains(&name.as_str()), "{name} is asked for in what is shipped, and nobody exports it");
    }

    let outside = Http::new(&site.url, Some(&site.ca())).unwrap();
    for path in ["/metrics", "/status", "/compute/metrics", "/compute/status", "/docs/metrics"] {
        let (code, page) = get(&outside, path, Some(&token)).await;
        assert!(code == 404 && !page.contains("cirro_"), "{path}: {code} {page}");
    }
}
