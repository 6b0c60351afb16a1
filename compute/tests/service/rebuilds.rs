//! A new root disk for an instance that exists.

use super::site::{Site, seen};
use cirro_models::{
    Bytes, Id,
    compute::{
        Instance,
        instance::InstanceStatus as S,
        report::{InstanceSeen, NodeReport},
    },
    images::machine_image::ImageStatus,
};
use cirro_server::testkit::Backend;
use serde_json::{Value, json};

impl Site {
    async fn patch(&self, id: Id<Instance>, body: Value) -> cirro_server::testkit::Told {
        self.member("PATCH", &format!("instance/{id}"), body).await
    }
}

#[tokio::test]
async fn a_rebuild_keeps_the_instance_and_gives_its_node_the_image_and_the_generation() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let other = site.image("other", site.actors.project, |image| image.sha256 = Some("cd".repeat(32))).await;
        let web = site.running("web1").await;
        let spec = site.assignment(site.node, "").await.instances.remove(0);
        assert_eq!((spec.root_generation.get(), spec.image.id), (0, site.image));
        let revision = site.assignment(site.node, "").await.revision;

        let row = site.patch(web, json!({"rebuild": true})).await.good();
        let told = [&row["generation"], &row["root_generation"]];
        assert_eq!((told, row["status"].as_str()), ([&json!(2), &json!(2)], Some("building")));
        assert!(row.get("rebuild").is_none(), "only in requests");
        let spec = site.assignment(site.node, &format!("?since={revision}&wait_ms=30000")).await.instances.remove(0);
        assert_eq!((spec.root_generation.get(), spec.generation.get(), spec.image.id), (2, 2, site.image));
        site.saw_as(web, 1, S::Running).await;
        assert_eq!(site.instance(web).await.status, S::Building, "a report of before it ended it");
        site.saw_as(web, 2, S::Running).await;
        assert_eq!(site.instance(web).await.status, S::Running);

        site.patch(web, json!({"power": "stopped"})).await.good();
        site.saw_as(web, 3, S::Stopped).await;
        let row = site.patch(web, json!({"rebuild": true, "image_id": other})).await.good();
        assert_eq!((row["image_id"].as_str(), &row["root_generation"]), (Some(other.to_string().as_str()), &json!(4)));
        let spec = site.assignment(site.node, "").await.instances.remove(0);
        assert_eq!((spec.image.id, spec.image.sha256), (other, "cd".repeat(32)));
        site.saw_as(web, 4, S::Stopped).await;
        let row = site.instance(web).await;
        assert_eq!((row.status, row.name.as_str(), row.node_id), (S::Stopped, "web1", Some(site.node)));
        assert_eq!((site.used().await, site.claims().await), ([1, 1, 256], 1));
        // any other wish asks for no other disk
        site.patch(web, json!({"power": "running"})).await.good();
        assert_eq!(site.assignment(site.node, "").await.instances[0].root_generation.get(), 4);
    }
}

#[tokio::test]
async fn a_rebuild_that_can_not_be_is_refused_and_leaves_everything() {
    let site = Site::new(Backend::Sqlite).await;
    let foreign = site.image("theirs", site.actors.elsewhere, |_| ()).await;
    let awaiting = site.image("empty", site.actors.project, |image| image.status = ImageStatus::Awaiting).await;
    let huge = site.image("huge", site.actors.project, |image| image.virtual_bytes = Some(Bytes::new(3 << 30))).await;
    let other = site.image("other", site.actors.project, |_| ()).await;
    let web = site.running("web1").await;
    let before = (site.instance(web).await, site.assignment(site.node, "").await.instances);
    for (body, status, part) in [
        (json!({"image_id": other}), 422, "add `rebuild`"),
        (json!({"image_id": other, "rebuild": false}), 422, "add `rebuild`"),
        (json!({"rebuild": true, "image_id": huge}), 422, "use a smaller image"),
        (json!({"rebuild": true, "image_id": Id::<Instance>::new()}), 422, "image_id"),
        (json!({"rebuild": true, "image_id": foreign}), 422, "image_id"),
        (json!({"rebuild": true, "image_id": awaiting}), 409, "upload"),
    ] {
        let problem = site.patch(web, body.clone()).await.problem(status);
        let told = format!("{} {:?}", problem.detail, problem.field);
        assert!(told.contains(part), "{body}: {told}");
    }
    assert_eq!((site.instance(web).await, site.assignment(site.node, "").await.instances), before);

    site.patch(web, json!({"protected": true})).await.good();
    let problem = site.patch(web, json!({"rebuild": true})).await.problem(409);
    assert!(problem.detail.contains("is protected"), "{}", problem.detail);
    site.patch(web, json!({"protected": false})).await.good();
    site.patch(web, json!({"rebuild": true})).await.good();
}

#[tokio::test]
async fn one_key_is_one_rebuild() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let web = site.running("web1").await;
        let path = format!("instance/{web}");
        for _ in 0..3 {
            let body = json!({"rebuild": true});
            let told = site.keyed(&site.actors.member(), "PATCH", &path, &body, "again").await.good();
            assert_eq!(told["root_generation"], 2);
        }
        assert_eq!(site.instance(web).await.generation.get(), 2);
    }
}

#[tokio::test]
async fn a_failed_instance_is_rebuilt_from_another_image() {
    let site = Site::new(Backend::Sqlite).await;
    let other = site.image("other", site.actors.project, |_| ()).await;
    let web = site.launch("web1").await;
    let failed = InstanceSeen { reason: Some("the image is broken".to_owned()), ..seen(web, 1, S::Failed) };
    site.report(site.node, NodeReport { instances: vec![failed], ..site.saw() }).await;
    let row = site.patch(web, json!({"rebuild": true, "image_id": other})).await.good();
    assert_eq!((row["status"].as_str(), row.get("status_reason")), (Some("building"), None));
    site.saw_as(web, 1, S::Failed).await;
    assert_eq!(site.instance(web).await.status, S::Building, "an old failure undid a new wish");
    site.saw_as(web, 2, S::Running).await;
    assert_eq!(site.instance(web).await.status, S::Running);
}
