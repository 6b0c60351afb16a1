//! What is kept, what is refused, and that a refusal leaves nothing.

use super::site::{Site, answer, noise, problem, sha256, wait_until};
use cirro_images::UploadLimits;
use cirro_models::{Deleted, Id, Verbs, images::MachineImage};
use cirro_server::{
    OwnerContext,
    testkit::{Backend, schema_differences},
};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn an_image_is_uploaded_read_and_deleted() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let bytes = noise(1_500_001, 0);
        let image = site.announce(&member, json!({"name": "demo", "format": "raw"})).await;
        assert_eq!(image.status.to_string(), "awaiting");
        let early = problem(&site.read(&member, image.id, &[]).await);
        assert_eq!((early.status, early.detail.contains("upload its bytes first")), (409, true), "{early:?}");

        let put = site.put(&member, image.id, &bytes, &[]).await;
        assert_eq!(put.status, 200, "{put:?}");
        let ready: MachineImage = put.read().unwrap();
        assert_eq!(ready.status.to_string(), "ready");
        assert_eq!(ready.size_bytes.unwrap().get(), 1_500_001);
        assert_eq!(ready.virtual_bytes.unwrap().get(), 1_500_160);
        assert_eq!(ready.sha256.as_deref(), Some(sha256(&bytes).as_str()));
        assert_eq!(site.used().await, 1_500_001);

        let whole = site.read(&member, image.id, &[]).await;
        assert!(whole.status == 200 && whole.body == bytes);
        let part = site.read(&member, image.id, &[("range", "bytes=1000000-")]).await;
        assert!(part.status == 206 && part.body == bytes[1_000_000..]);
        let other = site.read(&member, image.id, &[("range", "bytes=5-9"), ("if-range", "\"other\"")]).await;
        assert!(other.status == 200 && other.body == bytes);
        let known = format!("\"{}\"", sha256(&bytes));
        assert_eq!(site.read(&member, image.id, &[("if-none-match", &known)]).await.status, 304);
        assert_eq!(problem(&site.read(&member, image.id, &[("range", "bytes=1500001-")]).await).status, 416);

        // the same again, known by its digest; something else is refused
        let again = site.put(&member, image.id, &bytes, &[("x-cirro-sha256", &sha256(&bytes))]).await;
        assert_eq!(again.read::<MachineImage>().unwrap(), ready);
        let other = problem(&site.put(&member, image.id, &noise(1000, 1), &[]).await);
        assert_eq!((other.status, other.detail.contains("never change")), (409, true), "{other:?}");
        assert_eq!(site.used().await, 1_500_001);

        let ctx = member.over(&site.server);
        let Deleted::Begun(going) = MachineImage::delete(&ctx, image.id).await.unwrap() else { panic!("at once?") };
        assert_eq!(going.status.to_string(), "deleting");
        site.wait_until_gone(image.id).await;
        assert_eq!((site.used().await, site.files().len()), (0, 0));
    }
}

#[tokio::test]
async fn a_refusal_names_the_field_and_leaves_nothing() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let bytes = noise(700_000, 0);
        let wrong = sha256(b"other");
        let mut backing = vec![0; 131_072];
        // a qcow2 header (docs/interop/qcow2.txt): version 3, a backing file's name of 9 bytes at 1024, 1 MiB
        backing[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        backing[14] = 4;
        backing[19] = 9;
        backing[23] = 16;
        backing[29] = 16;
        for (what, announced, bytes, headers, status, field) in [
            (
                "a wrong digest",
                json!({"format": "raw"}),
                &bytes,
                vec![("x-cirro-sha256", wrong.as_str())],
                422,
                "sha256",
            ),
            ("a digest that is none", json!({"format": "raw"}), &bytes, vec![("x-cirro-sha256", "abc")], 422, "sha256"),
            ("an announced digest", json!({"format": "raw", "sha256": wrong}), &bytes, vec![], 422, "sha256"),
            ("an announced size", json!({"format": "raw", "size_bytes": 5}), &bytes, vec![], 422, "size_bytes"),
            ("no qcow2", json!({}), &bytes, vec![], 422, "format"),
            ("a short qcow2", json!({}), &backing[..64].to_vec(), vec![], 422, "bytes"),
            ("a backing file", json!({}), &backing, vec![], 422, "bytes"),
            ("an empty one", json!({"format": "raw"}), &vec![], vec![], 422, "bytes"),
        ] {
            let mut new = announced.clone();
            new["name"] = format!("i{}", Id::<MachineImage>::new()).into();
            let image = site.announce(&member, new).await;
            let refused = problem(&site.put(&member, image.id, bytes, &headers).await);
            assert_eq!((refused.status, refused.field.as_deref()), (status, Some(field)), "{what}: {refused:?}");
            site.expect_nothing_left(image.id, what).await;
        }
        let ctx = member.over(&site.server);
        for (new, field) in
            [(json!({"name": "x", "sha256": "abc"}), "sha256"), (json!({"name": "x", "size_bytes": 0}), "size_bytes")]
        {
            let refused = MachineImage::create(&ctx, serde_json::from_value(new).unwrap()).await.unwrap_err();
            assert!(refused.to_string().starts_with(field), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_quota_is_not_exceeded_however_many_try() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (member, project) = (site.actors.member(), site.actors.project);
        let image = site.announce(&member, json!({"name": "huge", "format": "raw"})).await;
        let stream = site.begin(&member, image.id, (1 << 30) + 1, &[]).await;
        let refused = answer(stream).await;
        assert!(refused.starts_with("HTTP/1.1 409") && refused.contains("quota-exceeded"), "{refused}");
        site.expect_nothing_left(image.id, "the quota").await;

        // room for three of eight
        let taken = (1 << 30) - 3 * 100_000 - 1;
        site.service().write(move |tx| tx.charge(project, "image_bytes", taken, 1 << 30)).await.unwrap();
        let uploads = (0..8).map(async |n| {
            let image = site.announce(&member, json!({"name": format!("i{n}"), "format": "raw"})).await;
            site.put(&member, image.id, &noise(100_000, n), &[]).await.status
        });
        let mut statuses = futures_util::future::join_all(uploads).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 200, 409, 409, 409, 409, 409]);
        assert_eq!((site.used().await, site.files().len()), ((1 << 30) - 1, 3));
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_or_stands_still_leaves_nothing() {
    for backend in Backend::BOTH {
        let limits = UploadLimits { idle: Duration::from_millis(300), ..UploadLimits::default() };
        let site = Site::with(backend, &limits).await;
        let member = site.actors.member();
        let image = site.announce(&member, json!({"name": "demo", "format": "raw"})).await;
        let stream = site.begin(&member, image.id, 900_000, &noise(600_000, 0)).await;
        let refused = answer(stream).await;
        assert!(refused.starts_with("HTTP/1.1 504") && refused.contains("after 600000 bytes"), "{refused}");
        site.expect_nothing_left(image.id, "silence").await;

        let stream = site.begin(&member, image.id, 900_000, &noise(600_000, 0)).await;
        wait_until("the upload has begun", async || site.used().await > 0).await;
        assert_eq!(site.told().await, (1 << 30, 0, 900_000), "what an upload has set aside is reserved");
        drop(stream);
        wait_until("it has ended", async || site.used().await == 0).await;
        site.expect_nothing_left(image.id, "a broken connection").await;
        assert_eq!(site.put(&member, image.id, &noise(1000, 0), &[]).await.status, 200);
        assert_eq!(site.told().await, (1 << 30, 1000, 0));
    }
}

#[tokio::test]
async fn models_and_tables_agree() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        assert_eq!(schema_differences(&site.images).await.unwrap(), Vec::<String>::new());
    }
}
