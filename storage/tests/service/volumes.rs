//! Volumes: placed, charged, made and removed by their node.

use super::site::{Site, conflict, seen};
use cirro_models::{
    Deleted, Error, Verbs,
    storage::{Volume, assignment::StorageReport, volume::VolumeStatus},
};
use cirro_server::testkit::Backend;
use futures_util::future::join_all;

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
            volumes: vec![cirro_models::storage::assignment::VolumeSeen {
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

        // the pool has 60 GiB left, and the other project a quota of 50
        let outsider = site.actors.outsider();
        let refused = site.volume(&outsider, "huge", 51).await.unwrap_err();
        assert!(matches!(refused, Error::Quota { limit: 50, .. }), "{refused}");
        let nothing = site.volume(&outsider, "none", 0).await.unwrap_err();
        assert!(matches!(&nothing, Error::Invalid { field, .. } if field == "size_gib"), "{nothing}");
    }
}

#[tokio::test]
async fn room_is_given_once() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let pool = site.volume(&site.actors.member(), "first", 1).await.unwrap().pool_id.unwrap();
        let operator = site.actors.operator().over(&site.server);
        let small = serde_json::from_str(r#"{"capacity_gib": 21}"#).unwrap();
        cirro_models::storage::StoragePool::update(&operator, pool, small).await.unwrap();
        let outsider = site.actors.outsider();
        let made = join_all((0..4).map(|n| {
            let (site, outsider) = (&site, &outsider);
            async move { site.volume(outsider, &format!("v{n}"), 10).await }
        }))
        .await;
        assert_eq!(made.iter().filter(|outcome| outcome.is_ok()).count(), 2, "{made:?}");
        let refused = made.iter().filter(|outcome| matches!(outcome, Err(Error::NoCapacity { .. }))).count();
        assert_eq!(refused, 2, "{made:?}");
        // a refusal left nothing of the quota behind: 30 GiB are free
        let big = serde_json::from_str(r#"{"capacity_gib": 100}"#).unwrap();
        cirro_models::storage::StoragePool::update(&operator, pool, big).await.unwrap();
        site.volume(&outsider, "rest", 30).await.unwrap();
    }
}
