//! The OpenAPI document: committed, valid, and every operation in it asked without a token and with another project's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_models::{
    Verbs,
    storage::{Attachment, StoragePool, Volume},
};
use cirro_server::testkit::{Backend, Own, check_document, document, probe_as_stranger, probe_without_token};
use site::Site;

#[tokio::test]
async fn the_document_is_the_committed_one_and_valid() {
    let site = Site::new(Backend::Sqlite).await;
    check_document(&site.storage, &site.server, env!("CARGO_MANIFEST_DIR")).await;
}

#[tokio::test]
async fn no_operation_answers_without_a_token() {
    let site = Site::new(Backend::Sqlite).await;
    probe_without_token(&site.server, &document(&site.storage), &[]).await;
}

#[tokio::test]
async fn no_operation_shows_or_changes_what_is_another_projects() {
    let site = Site::new(Backend::Sqlite).await;
    let volume = site.available("data").await;
    let instance = site.instance(site.actors.project, Some(site.node)).await;
    let attachment = site.attach(&site.actors.member(), volume, instance).await.unwrap().id;
    let pool =
        StoragePool::list(&site.service(), &Default::default(), &Default::default()).await.unwrap().items.remove(0);
    let own = Own::from([
        ("volume", volume.to_string()),
        ("attachment", attachment.to_string()),
        ("storagepool", pool.id.to_string()),
        ("nodeassignment", site.node.to_string()),
        ("nodereport", site.node.to_string()),
        ("quota", site.actors.project.to_string()),
    ]);
    let kept = async || {
        let service = site.service();
        (
            Volume::get(&service, volume).await.unwrap(),
            Attachment::get(&service, attachment).await.unwrap(),
            StoragePool::get(&service, pool.id).await.unwrap(),
        )
    };
    let before = kept().await;
    let token = site.actors.outsider().token;
    let tried = probe_as_stranger(&site.server, &document(&site.storage), token.expose(), &own, &[]).await;
    assert!(tried > 15, "only {tried} operations were tried");
    assert_eq!(kept().await, before, "somebody else changed something");
}
