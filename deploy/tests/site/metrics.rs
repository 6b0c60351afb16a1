//! Metrics of a site in one process.

use crate::kit::{LIMIT, Site, until};
use cirro_client::Http;
use cirro_models::Context;
use std::{fs, sync::Arc};

async fn page(site: &Site, token: &str) -> (u16, String) {
    let http = Http::new(&format!("http://{}", site.address), None).unwrap();
    let ctx = Context::client(Arc::default(), None);
    let shown = format!("Bearer {token}");
    let answer = http.answer(&ctx, "GET", "/metrics", None, &[("authorization", &shown)]).await.unwrap();
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_site_counts_what_it_has_for_who_shows_the_token() {
    let token = "a-token-that-is-long-enough";
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{token}\n")).unwrap();
    let words = ["--no-agent", "--simulate", "1", "--metrics-token-file", file.path().to_str().unwrap()];
    let mut site = Site::prepared(&words);
    site.start();
    until(LIMIT, "the node is ready", || {
        let listed = site.cirro(&["node", "list", "-o", "json"]).json();
        (listed["items"][0]["status"] == "ready").then_some(())
    });
    let (code, page_of_all) = page(&site, token).await;
    assert_eq!(code, 200);
    for line in [
        "cirro_nodes{service=\"compute\",status=\"ready\"} 1",
        "cirro_database_up{service=\"identity\"} 1",
        "cirro_database_up{service=\"images\"} 1",
        "cirro_feed_lag_entries{service=\"storage\"} 0",
    ] {
        assert!(page_of_all.lines().any(|told| told == line), "{line} is not in {page_of_all}");
    }
    assert_eq!(page(&site, "another-token-of-this-length").await.0, 404);
}

#[tokio::test]
async fn without_a_token_there_are_none() {
    let mut site = Site::prepared(&["--no-agent"]);
    site.start();
    assert_eq!(page(&site, "").await.0, 404);
}
