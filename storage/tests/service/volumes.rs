//! Volumes: placed, charged, made and removed by their node.

use super::site::{Site, conflict, seen};
use cirro_models::{
    Deleted, Error, Verbs,
    identity::Quota,
    storage::{
        StoragePool, Volume,
        assignment::{StorageReport, VolumeSeen},
        volume::{VolumePatch, VolumeStatus},
    },
};
use cirro_server::testkit::Backend;
use futures_util::future::join_all;
use serde_json::json;

#[tokio::test]
async fn a_node_is_told_who_asked_for_what_it_has_not_done_yet() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let volume = site.volume(&member, "data", 5).await.unwrap().id;
        let told = site.assignment(site.node).await;
        assert_eq!(told.requests.keys().copied().collect::<Vec<_>>(), [volume.uuid()]);
        let seen = StorageReport { volumes: vec![seen(volume, VolumeStatus::Available)], ..site.report() };
        site.tell(site.node, &seen).await.unwrap();
        assert_eq!(site.assignment(site.node).await.requests.len(), 0, "it is done");
        Volume::delete(&member.over(&site.server).named("delete-data"), volume).await.unwrap();
        let told = site.assignment(site.node).await;
        assert_eq!(told.requests.get(&volume.uuid()).map(String::as_str), Some("delete-data"));
    }
}

#[tokio::test]
async fn a_volume_is_made_and_removed_by_its_node() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let volume = site.volume(&member, "data", 5).await.unwrap();
        assert_eq!((volume.status.to_string().as_str(), volume.node_id), ("creating", Some(site.node)));
        assert_eq!(site.used().await, (1, 5));
        let assigned = site.assignment(site.node).await;
        assert_eq!(
            assigned.volumes.iter().map(|spec| (spec.id, spec.size_gib.get())).collect::<Vec<_>>(),
            [(volume.id, 5)]
        );

        let failed = StorageReport {
            volumes: vec![VolumeSeen {
                reason: Some("the disk is full".to_owned()),
                ..seen(volume.id, VolumeStatus::Failed)
            }],
            ..site.report()
        };
        site.tell(site.node, &failed).await.unwrap();
        let row = Volume::get(&member.over(&site.server), volume.id).await.unwrap();
        assert_eq!(
            (row.status.to_string().as_str(), row.status_reason.as_deref()),
            ("failed", Some("the disk is full"))
        );
        let made = StorageReport { volumes: vec![seen(volume.id, VolumeStatus::Available)], ..site.report() };
        site.tell(site.node, &made).await.unwrap();
        assert_eq!(site.status(volume.id).await, "available");

        // gone before it was asked to go is not believed
        let gone = |report| StorageReport { volumes_gone: vec![volume.id], ..report };
        site.tell(site.node, &gone(site.report())).await.unwrap();
        assert_eq!(site.status(volume.id).await, "available");
        let ctx = member.over(&site.server);
        for _ in 0..2 {
            assert!(matches!(Volume::delete(&ctx, volume.id).await.unwrap(), Deleted::Begun(_)));
        }
        assert_eq!(site.used().await, (1, 5), "until the node has confirmed");
        let assigned = site.assignment(site.node).await;
        assert_eq!((assigned.volumes.len(), assigned.volume_tombstones), (0, vec![volume.id]));
        // its name is free at once
        site.volume(&member, "data", 1).await.unwrap();
        let rename = Volume::update(&ctx, volume.id, serde_json::from_str(r#"{"name": "other"}"#).unwrap()).await;
        assert!(conflict(rename).contains("being deleted"));
        site.tell(site.node, &gone(site.report())).await.unwrap();
        assert!(Volume::get(&ctx, volume.id).await.unwrap_err().is_not_found());
        assert_eq!(site.used().await, (1, 1));
    }
}

#[tokio::test]
async fn a_protected_volume_stays_until_that_is_lifted() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let ctx = site.actors.member().over(&site.server);
        let volume = site.available("data").await;
        let protect = async |protected: bool| {
            let patch = VolumePatch { protected: Some(protected), ..VolumePatch::default() };
            Volume::update(&ctx, volume, patch).await.unwrap().protected
        };
        assert!(protect(true).await);
        let refused = conflict(Volume::delete(&ctx, volume).await);
        assert!(refused.contains("data") && refused.contains("--no-protect"), "{refused}");
        assert_eq!((site.status(volume).await.as_str(), site.used().await), ("available", (1, 1)));
        assert!(!protect(false).await);
        assert!(matches!(Volume::delete(&ctx, volume).await.unwrap(), Deleted::Begun(_)));
    }
}

#[tokio::test]
async fn quota_and_room_are_not_exceeded_however_many_try() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        // the quota: 4 volumes, 50 GiB
        let made = join_all((0..12).map(|n| {
            let (site, member) = (&site, &member);
            async move { site.volume(member, &format!("v{n}"), 10).await }
        }))
        .await;
        assert_eq!(made.iter().filter(|outcome| outcome.is_ok()).count(), 4);
        assert!(made.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Quota { .. }))));
        assert_eq!(site.used().await, (4, 40));
        let path = format!("/storage/v1/quota/{}", site.actors.project);
        let ctx = site.actors.viewer().over(&site.server);
        let told: Quota = site.server.http.json(&ctx, "GET", &path, None::<&()>).await.unwrap();
        let told = told.items.iter().map(|share| (share.resource.to_string(), share.limit, share.used, share.reserved));
        let expected = [("volumes".to_owned(), 4, 4, 0), ("volume_gib".to_owned(), 50, 40, 0)];
        assert_eq!(told.collect::<Vec<_>>(), expected);

        // the pool has 60 GiB left, and the other project a quota of 50
        let outsider = site.actors.outsider();
        let refused = site.volume(&outsider, "huge", 51).await.unwrap_err();
        assert!(matches!(refused, Error::Quota { limit: 50, .. }), "{refused}");
        let nothing = site.volume(&outsider, "none", 0).await.unwrap_err();
        assert!(matches!(&nothing, Error::Invalid { field, .. } if field == "size_gib"), "{nothing}");
    }
}

/// Inside the process and on several threads, so that the transactions really meet.
#[tokio::test(flavor = "multi_thread")]
async fn room_is_given_once() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (ours, theirs) = (site.actors.member(), site.actors.outsider());
        let pool = site.volume(&ours, "first", 1).await.unwrap().pool_id.unwrap();
        let operator = site.actors.operator().over(&site.server);
        let resize = |capacity: i64| {
            let patch = serde_json::from_value(json!({"capacity_gib": capacity})).unwrap();
            StoragePool::update(&operator, pool, patch)
        };
        resize(11).await.unwrap();
        for round in 0..5 {
            // of different projects, so that no quota makes them wait for each other
            let tries = (0..6).map(|n| {
                let ctx = if n % 2 == 0 { &ours } else { &theirs }.inside(&site.storage);
                let new = serde_json::from_value(json!({"name": format!("r{round}n{n}"), "size_gib": 10})).unwrap();
                tokio::spawn(async move { Volume::create(&ctx, new).await })
            });
            let outcomes: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
            let (made, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            assert_eq!(made.len(), 1, "{made:?}");
            assert!(refused.iter().all(|outcome| matches!(outcome, Err(Error::NoCapacity { .. }))), "{refused:?}");
            let id = made[0].as_ref().unwrap().id;
            Volume::delete(&operator, id).await.unwrap();
            site.tell(site.node, &StorageReport { volumes_gone: vec![id], ..site.report() }).await.unwrap();
        }
        // the refusals left nothing of the quota behind: 50 GiB for each
        resize(100).await.unwrap();
        site.volume(&ours, "rest", 49).await.unwrap();
        site.volume(&theirs, "rest", 50).await.unwrap();
    }
}
