//! What a node is told, and what it may say.

use super::site::{Site, plugged, seen};
use cirro_models::{
    Page, Verbs,
    storage::{
        Attachment, Volume,
        assignment::{StorageAssignment, StorageReport},
        attachment::AttachmentFilter,
        volume::{VolumeFilter, VolumeStatus},
    },
};
use cirro_server::testkit::Backend;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_node_that_lies_about_others_changes_nothing() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let liar = site.new_node("liar").await;
        let young = site.volume(&member, "young", 1).await.unwrap().id;
        let instance = site.instance(site.actors.project, Some(site.node)).await;
        let volume = site.available("data").await;
        let attachment = site.attach(&member, volume, instance).await.unwrap().id;
        let leaving = site.available("leaving").await;
        let going = site.available("going").await;
        let ctx = member.over(&site.server);
        let detaching = site.attach(&member, leaving, instance).await.unwrap().id;
        Attachment::delete(&ctx, detaching).await.unwrap();
        Volume::delete(&ctx, going).await.unwrap();
        let before = site.assignment(site.node).await;
        let rows = async || {
            let (all, page) = (VolumeFilter::default(), Page::default());
            let volumes = Volume::list(&ctx, &all, &page).await.unwrap().items;
            (volumes, Attachment::list(&ctx, &AttachmentFilter::default(), &page).await.unwrap().items)
        };
        let stored = rows().await;

        let lies = StorageReport {
            volumes: vec![seen(young, VolumeStatus::Available), seen(volume, VolumeStatus::Failed)],
            volumes_gone: vec![going, volume],
            attachments: vec![plugged(attachment)],
            detached: vec![detaching, attachment],
            ..site.report()
        };
        site.tell(liar, &lies).await.unwrap();
        assert_eq!(rows().await, stored);
        assert_eq!(site.assignment(site.node).await, before);
        assert_eq!(site.used().await, (4, 4));
        // it is told nothing of others, and can't speak for them
        let told = site.assignment(liar).await;
        assert!(told.volumes.is_empty() && told.attachments.is_empty() && told.volume_tombstones.is_empty());
        let liar = site.actors.node_of(liar);
        assert!(site.asked(&liar, site.node, "").await.unwrap_err().is_not_found());
        assert!(site.tell_as(&liar, site.node, &lies).await.unwrap_err().is_not_found());
        assert_eq!(rows().await, stored);
        for actor in [site.actors.member(), site.actors.admin(), site.actors.stranger()] {
            assert!(site.asked(&actor, site.node, "").await.unwrap_err().is_not_found());
            assert!(site.tell_as(&actor, site.node, &lies).await.unwrap_err().is_not_found());
        }
        // an operator reads, and does not speak for a node either
        let operator = site.actors.operator();
        assert_eq!(site.asked(&operator, site.node, "").await.unwrap(), before);
        assert!(site.tell_as(&operator, site.node, &lies).await.unwrap_err().is_not_found());
        assert_eq!(rows().await, stored);
        // the node itself is believed, and twice the same in one report does no harm
        let truth = StorageReport { volumes_gone: vec![going, going], detached: vec![detaching, detaching], ..lies };
        let truth = StorageReport { sequence: truth.sequence + 1, ..truth };
        site.tell(site.node, &truth).await.unwrap();
        assert_eq!(site.used().await, (3, 3));
        assert_eq!(site.status(leaving).await, "available");
    }
}

#[tokio::test]
async fn an_older_report_of_the_same_boot_is_ignored() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let volume = site.volume(&site.actors.member(), "data", 1).await.unwrap().id;
        let report =
            |sequence, status| StorageReport { sequence, volumes: vec![seen(volume, status)], ..site.report() };
        site.tell(site.node, &report(5, VolumeStatus::Available)).await.unwrap();
        for old in [4, 5] {
            site.tell(site.node, &report(old, VolumeStatus::Failed)).await.unwrap();
            assert_eq!(site.status(volume).await, "available");
        }
        // one without news counts too
        site.tell(site.node, &report(7, VolumeStatus::Available)).await.unwrap();
        site.tell(site.node, &report(6, VolumeStatus::Failed)).await.unwrap();
        assert_eq!(site.status(volume).await, "available");
        // another boot counts anew
        let reborn = StorageReport { boot_id: uuid::Uuid::now_v7(), ..report(1, VolumeStatus::Failed) };
        site.tell(site.node, &reborn).await.unwrap();
        assert_eq!(site.status(volume).await, "failed");
    }
}

#[tokio::test]
async fn a_node_that_says_what_it_holds_is_told_only_what_is_new() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let since = site.assignment(site.node).await.revision;
        let bearer = format!("Bearer {}", site.actors.node_of(site.node).token.expose());
        let ask = async |wait: u64, held: &str| {
            let path = format!("/storage/v1/nodeassignment/{}?since={since}&wait_ms={wait}", site.node);
            let headers = [("authorization", bearer.as_str()), ("if-none-match", held)];
            site.server.send("GET", &path, &headers, "").await
        };
        let held = format!("\"{since}\"");
        // the second is told without a look at the database
        for _ in 0..2 {
            let same = ask(50, &held).await;
            assert_eq!((same.status, same.text.as_str()), (304, ""));
        }
        ask(0, &held).await.good();
        ask(50, "\"another\"").await.good();
        let volume = site.volume(&site.actors.member(), "data", 1).await.unwrap();
        let told: StorageAssignment = serde_json::from_value(ask(20_000, &held).await.good()).unwrap();
        assert_eq!(told.volumes[0].id, volume.id, "what is new was not told");
    }
}

#[tokio::test]
async fn a_poll_waits_for_news_of_its_own_node() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let node = site.actors.node_of(site.node);
        let first = site.assignment(site.node).await;
        assert!(site.assignment(site.node).await == first, "the same content has the same revision");
        let waiting = format!("?since={}&wait_ms=20000", first.revision);
        let (answer, volume) = tokio::join!(site.asked(&node, site.node, &waiting), async {
            site.volume(&site.actors.member(), "data", 1).await.unwrap()
        });
        let answer = answer.unwrap();
        assert_eq!(answer.volumes[0].id, volume.id);
        assert_eq!(answer.epoch, first.epoch);

        // what the node itself reports, and what another node has, is no news
        let start = Instant::now();
        let waiting = format!("?since={}&wait_ms=300", answer.revision);
        let (same, ()) = tokio::join!(site.asked(&node, site.node, &waiting), async {
            let made = StorageReport { volumes: vec![seen(volume.id, VolumeStatus::Available)], ..site.report() };
            site.tell(site.node, &made).await.unwrap();
        });
        // who asked for it is told only while it is not done
        assert_eq!(same.unwrap(), StorageAssignment { requests: BTreeMap::new(), ..answer });
        assert!(start.elapsed() >= Duration::from_millis(300), "it did not wait");
        let odd = site.asked(&node, site.node, "?sinse=1").await.unwrap_err();
        assert!(odd.to_string().contains("sinse"), "{odd}");
    }
}
