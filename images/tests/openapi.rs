//! The OpenAPI document: committed, valid, and every operation in it asked without a token and with another project's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_server::testkit::{Backend, Own, check_document, document, probe_as_stranger, probe_without_token};
use serde_json::json;
use site::{Site, noise};

#[tokio::test]
async fn the_document_is_the_committed_one_and_valid() {
    let site = Site::new(Backend::Sqlite).await;
    check_document(&site.images, &site.server, env!("CARGO_MANIFEST_DIR")).await;
}

#[tokio::test]
async fn no_operation_answers_without_a_token() {
    let site = Site::new(Backend::Sqlite).await;
    probe_without_token(&site.server, &document(&site.images), &[]).await;
}

#[tokio::test]
async fn no_operation_shows_or_changes_what_is_another_projects() {
    let site = Site::new(Backend::Sqlite).await;
    let (member, outsider) = (site.actors.member(), site.actors.outsider());
    let image = site.announce(&member, json!({"name": "private", "format": "raw"})).await;
    assert_eq!(site.put(&member, image.id, &noise(1000, 0), &[]).await.status, 200);
    let (before, files) = (site.image(image.id).await.unwrap(), site.files());
    let own = Own::from([("machineimage", image.id.to_string()), ("quota", site.actors.project.to_string())]);
    let tried = probe_as_stranger(&site.server, &document(&site.images), outsider.token.expose(), &own, &[]).await;
    assert!(tried > 8, "only {tried} operations were tried");
    assert_eq!(site.image(image.id).await.unwrap(), before);
    assert_eq!(site.files(), files);
}
