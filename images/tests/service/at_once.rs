//! Two at the same time.

use super::site::{Site, answer, noise, problem, wait_until};
use cirro_images::UploadLimits;
use cirro_models::{Verbs, images::MachineImage};
use cirro_server::testkit::Backend;
use serde_json::json;

#[tokio::test]
async fn one_upload_per_image_and_so_many_in_all() {
    for backend in Backend::BOTH {
        let site = Site::with(backend, &UploadLimits { at_once: 2, ..UploadLimits::default() }).await;
        let member = site.actors.member();
        let [one, two] = ["one", "two"].map(|name| json!({"name": name, "format": "raw"}));
        let (one, two) = (site.announce(&member, one).await, site.announce(&member, two).await);
        let first = site.begin(&member, one.id, 200_000, &[0; 10]).await;
        wait_until("the first upload has begun", async || site.used().await == 200_000).await;
        let second = problem(&site.put(&member, one.id, &noise(1000, 0), &[]).await);
        assert_eq!((second.status, second.detail.contains("being uploaded already")), (409, true), "{second:?}");

        let other = site.begin(&member, two.id, 100_000, &[0; 10]).await;
        wait_until("the other upload has begun", async || site.used().await == 300_000).await;
        let three = site.announce(&member, json!({"name": "three", "format": "raw"})).await;
        let third = problem(&site.put(&member, three.id, &noise(1000, 0), &[]).await);
        assert_eq!((third.status, third.retry_after_s), (503, Some(10)), "{third:?}");

        drop((first, other));
        wait_until("both have ended", async || site.used().await == 0).await;
        site.expect_nothing_left(one.id, "both").await;
        assert_eq!(site.put(&member, three.id, &noise(1000, 0), &[]).await.status, 200);
    }
}

#[tokio::test]
async fn deleting_an_image_ends_its_upload() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let image = site.announce(&member, json!({"name": "demo", "format": "raw"})).await;
        let mut upload = site.begin(&member, image.id, 200_000, &noise(100_000, 0)).await;
        wait_until("the upload has begun", async || site.used().await > 0).await;
        MachineImage::delete(&member.over(&site.server), image.id).await.unwrap();
        assert_eq!(site.used().await, 0);
        tokio::io::AsyncWriteExt::write_all(&mut upload, &noise(200_000, 0)[100_000..]).await.unwrap();
        let refused = answer(upload).await;
        assert!(refused.starts_with("HTTP/1.1 409") && refused.contains("was deleted"), "{refused}");
        wait_until("nothing is left", async || site.files().is_empty()).await;
        assert_eq!(site.used().await, 0);
        // its name is free
        site.announce(&member, json!({"name": "demo", "format": "raw"})).await;
    }
}
