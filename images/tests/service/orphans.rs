//! The audit: one of each kind is seeded and found by its code and its thing; where all is well nothing is.

use super::site::{Site, noise, wait_until};
use bytes::Bytes;
use cirro_images::{
    audit::kinds,
    bytes::{Format, Terms},
};
use cirro_models::{Verbs, finding::Findings, images::MachineImage};
use cirro_server::testkit::{Backend, Pen};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs::File,
    time::{Duration, SystemTime},
};
use uuid::Uuid;

/// What is found: code and id of each.
async fn found(site: &Site) -> BTreeSet<(String, Uuid)> {
    let ctx = site.actors.operator().over(&site.server);
    let told: Findings = site.server.http.json(&ctx, "GET", "/images/v1/audit", None::<&()>).await.unwrap();
    told.items.into_iter().map(|finding| (finding.code, finding.id)).collect()
}

#[tokio::test]
async fn where_things_come_and_go_nothing_is_found() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let ready = site.announce(&member, json!({"name": "ready", "format": "raw"})).await.id;
        assert_eq!(site.put(&member, ready, &noise(1000, 0), &[]).await.status, 200);
        let coming = site.announce(&member, json!({"name": "coming", "format": "raw", "size_bytes": 5000})).await.id;
        let upload = site.begin(&member, coming, 5000, &noise(100, 1)).await;
        wait_until("the upload has begun", async || site.used().await == 6000).await;
        assert_eq!(found(&site).await, BTreeSet::new());
        drop(upload);
        wait_until("the upload has ended", async || site.used().await == 1000).await;
        MachineImage::delete(&member.over(&site.server), ready).await.unwrap();
        site.wait_until_gone(ready).await;
        assert_eq!(found(&site).await, BTreeSet::new());
    }
}

#[tokio::test]
async fn one_of_each_kind_is_found() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (member, pen) = (site.actors.member(), Pen::of(&site.images));
        let empty = site.announce(&member, json!({"name": "empty", "format": "raw"})).await.id;
        assert_eq!(site.put(&member, empty, &noise(1000, 0), &[]).await.status, 200);
        assert!(site.store.remove(empty.uuid()).await.unwrap());
        let nobodys = Uuid::now_v7();
        let terms = Terms { format: Format::Raw, limit: u64::MAX, size: None };
        let mut upload = site.store.begin(nobodys, terms).await.unwrap();
        upload.write(Bytes::from_static(b"old")).await.unwrap();
        upload.finish(None).await.unwrap();
        // an upload whose process has died: its part is no longer locked, and its lease has run out
        let (torn, abandoned) = (Uuid::now_v7(), Uuid::now_v7());
        let part = File::create(site.partial().join(format!("{torn}.x"))).unwrap();
        part.set_modified(SystemTime::now() - Duration::from_mins(2)).unwrap();
        drop(part);
        let nowhere = Uuid::now_v7();
        pen.write(&format!(
            "INSERT INTO upload (image_id, lease, project_id, bytes, until) VALUES ({}, {}, {}, 1, {})",
            pen.id(abandoned),
            pen.id(abandoned),
            pen.id(site.actors.project.uuid()),
            pen.past()
        ))
        .await;
        let lost = site.announce(&member, json!({"name": "lost", "format": "raw"})).await.id;
        pen.write(&format!(
            "UPDATE machineimage SET project_id = {} WHERE id = {}",
            pen.id(nowhere),
            pen.id(lost.uuid())
        ))
        .await;

        let seeded: BTreeSet<(&str, Uuid)> = [
            ("images.image-without-bytes", empty.uuid()),
            ("images.bytes-without-image", nobodys),
            ("images.part-abandoned", torn),
            ("images.upload-abandoned", abandoned),
            ("images.usage-differs", site.actors.project.uuid()),
            ("images.project-gone", nowhere),
        ]
        .into();
        let found = found(&site).await;
        assert_eq!(found, seeded.iter().map(|(code, id)| ((*code).to_owned(), *id)).collect());
        let all: BTreeSet<&str> = kinds().iter().map(|kind| kind.code).collect();
        assert_eq!(seeded.iter().map(|(code, _)| *code).collect::<BTreeSet<_>>(), all, "a kind is not seeded");
    }
}
