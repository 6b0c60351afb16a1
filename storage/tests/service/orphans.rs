//! The audit: one of each kind is seeded and found by its code and its thing; where all is well nothing is.

use super::site::{Site, seen};
use cirro_models::{
    Id, Verbs,
    finding::Findings,
    storage::{Volume, assignment::StorageReport, volume::VolumeStatus},
};
use cirro_server::testkit::{Backend, Pen};
use cirro_storage::audit::kinds;
use std::collections::BTreeSet;
use uuid::Uuid;

/// What is found: code and id of each.
async fn found(site: &Site) -> BTreeSet<(String, Uuid)> {
    let ctx = site.actors.operator().over(&site.server);
    let told: Findings = site.server.http.json(&ctx, "GET", "/storage/v1/audit", None::<&()>).await.unwrap();
    told.items.into_iter().map(|finding| (finding.code, finding.id)).collect()
}

#[tokio::test]
async fn where_things_come_and_go_nothing_is_found() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        assert_eq!(found(&site).await, BTreeSet::new());
        let (member, volume) = (site.actors.member(), site.available("data").await);
        let instance = site.instance(site.actors.project, Some(site.node)).await;
        site.attach(&member, volume, instance).await.unwrap();
        let files = |files| StorageReport { files: Some(files), ..site.report() };
        site.tell(site.node, &files(vec![volume])).await.unwrap();
        assert_eq!(found(&site).await, BTreeSet::new());
        let making = site.volume(&member, "making", 1).await.unwrap().id;
        assert_eq!(found(&site).await, BTreeSet::new(), "on its way");
        let made =
            StorageReport { volumes: vec![seen(making, VolumeStatus::Available)], ..files(vec![volume, making]) };
        site.tell(site.node, &made).await.unwrap();
        assert_eq!(site.status(making).await, "available");
        assert_eq!(found(&site).await, BTreeSet::new());
    }
}

#[tokio::test]
async fn one_of_each_kind_is_found() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let pen = Pen::of(&site.storage);
        let volumes = ["poolless", "moved", "held", "free"];
        let mut ids: Vec<Id<Volume>> = Vec::new();
        for name in volumes {
            ids.push(site.available(name).await);
        }
        let [poolless, moved, held, free] = ids[..] else { panic!("four") };
        let (member, nowhere) = (site.actors.member(), Uuid::now_v7());
        let instance = site.instance(site.actors.project, Some(site.node)).await;
        let [attached, torn] = [site.attach(&member, free, instance).await, site.attach(&member, held, instance).await]
            .map(|attachment| attachment.unwrap().id);
        let pool = Volume::get(&site.service(), poolless).await.unwrap().pool_id.unwrap();
        let other = Uuid::now_v7();
        let set = |table: &str, what: String, id: Uuid| format!("UPDATE {table} SET {what} WHERE id = {}", pen.id(id));
        for sql in [
            set("volume", format!("pool_id = {}", pen.id(nowhere)), poolless.uuid()),
            set("volume", format!("node_id = {}", pen.id(nowhere)), moved.uuid()),
            set("volume", "status = 'available'".to_owned(), free.uuid()),
            set("storagepool", "capacity_gib = 1".to_owned(), pool.uuid()),
            set("attachment", format!("volume_id = {}", pen.id(other)), torn.uuid()),
            set(
                "attachment",
                format!("node_id = {}, instance_id = {}", pen.id(nowhere), pen.id(nowhere)),
                attached.uuid(),
            ),
            "UPDATE quota_usage SET used = used + 1".to_owned(),
        ] {
            pen.write(&sql).await;
        }
        let lost = site.pool("lost", site.new_node("lost").await, 10).await.unwrap();
        pen.write(&set("storagepool", format!("node_id = {}", pen.id(other)), lost.id.uuid())).await;
        pen.write(&set("volume", format!("project_id = {}", pen.id(other)), moved.uuid())).await;
        let stray = Id::<Volume>::new();
        let files = Some(vec![free, stray]);
        site.tell(site.node, &StorageReport { files, ..site.report() }).await.unwrap();

        let seeded: BTreeSet<(&str, Uuid)> = [
            ("storage.volume-without-pool", poolless.uuid()),
            ("storage.volume-elsewhere", moved.uuid()),
            ("storage.pool-overfull", pool.uuid()),
            ("storage.attachment-without-volume", torn.uuid()),
            ("storage.attachment-elsewhere", attached.uuid()),
            ("storage.volume-without-attachment", held.uuid()),
            ("storage.volume-free-though-attached", free.uuid()),
            ("storage.usage-differs", site.actors.project.uuid()),
            ("storage.volume-without-file", held.uuid()),
            ("storage.file-without-volume", stray.uuid()),
            ("storage.instance-gone", nowhere),
            ("storage.node-gone", other),
            ("storage.project-gone", other),
        ]
        .into();
        let found = found(&site).await;
        for (code, id) in &seeded {
            assert!(found.contains(&((*code).to_owned(), *id)), "{code} of {id} is not in {found:#?}");
        }
        let all: BTreeSet<&str> = kinds().iter().map(|kind| kind.code).collect();
        assert_eq!(seeded.iter().map(|(code, _)| *code).collect::<BTreeSet<_>>(), all, "a kind is not seeded");
    }
}
