//! What crashes leave is put in order at the next start.

use super::site::{Site, noise, wait_until};
use bytes::Bytes;
use cirro_images::{
    bytes::{Format, Terms},
    tasks::{Tidied, tidy},
};
use cirro_models::{Error, images::machine_image::ImageStatus, sql::AnyConnection};
use cirro_server::{OwnerContext, testkit::Backend};
use diesel::{RunQueryDsl, sql_query};
use serde_json::json;

#[tokio::test]
async fn a_start_finishes_what_a_crash_interrupted() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        // marked by a release that had no work queue, and then the process died
        let marked = site.announce(&member, json!({"name": "marked", "format": "raw"})).await.id;
        assert_eq!(site.put(&member, marked, &noise(1000, 0), &[]).await.status, 200);
        let service = site.service();
        let mark = service.write(move |tx| {
            tx.begin_delete::<cirro_models::images::MachineImage>(marked, |image| image.status = ImageStatus::Deleting)
        });
        mark.await.unwrap();
        // its bytes were placed, and then the process died
        let placed = site.announce(&member, json!({"name": "placed", "format": "raw"})).await.id;
        let terms = Terms { format: Format::Raw, limit: u64::MAX, size: None };
        let mut upload = site.store.begin(placed.uuid(), terms).await.unwrap();
        upload.write(Bytes::from_static(b"old")).await.unwrap();
        upload.finish(None).await.unwrap();
        let kept = site.announce(&member, json!({"name": "kept", "format": "raw"})).await.id;
        assert_eq!(site.put(&member, kept, &noise(2000, 0), &[]).await.status, 200);

        let done = tidy(&|| site.service(), true).await.unwrap();
        assert_eq!(done, Tidied { images: 1, ..Tidied::default() }, "young bytes of no image stay");
        site.wait_until_gone(marked).await;
        assert_eq!((site.used().await, site.files().len()), (2000, 2));
        // and do not stand in the way of the next upload
        assert_eq!(site.put(&member, placed, &noise(3000, 0), &[]).await.status, 200);
        assert_eq!(site.used().await, 5000);
        assert_eq!(tidy(&|| site.service(), true).await.unwrap(), Tidied::default());
    }
}

#[tokio::test]
async fn what_a_dead_process_set_aside_comes_back_and_a_living_one_keeps_its_own() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let image = site.announce(&member, json!({"name": "demo", "format": "raw"})).await.id;
        let upload = site.begin(&member, image, 5000, &[]).await;
        wait_until("the upload has begun", async || site.used().await == 5000).await;
        assert_eq!(tidy(&|| site.service(), false).await.unwrap().uploads, 0);
        assert_eq!(site.used().await, 5000);
        // one that has begun before a new process has put things in order is its own
        assert_eq!(tidy(&|| site.service(), true).await.unwrap().uploads, 0);
        let exclusive = backend == Backend::Sqlite;
        if exclusive {
            // on a database of its own, those that it has not begun are nobody's
            let of_another = |c: &mut AnyConnection| sql_query("UPDATE upload SET lease = zeroblob(16)").execute(c);
            site.service().write(move |tx| of_another(tx.connection()).map_err(Error::internal)).await.unwrap();
        }
        assert_eq!(tidy(&|| site.service(), true).await.unwrap().uploads, usize::from(exclusive));
        assert_eq!(site.used().await, if exclusive { 0 } else { 5000 });
        drop(upload);
        wait_until("the upload has ended", async || site.files().is_empty() && site.used().await == 0).await;
    }
}
