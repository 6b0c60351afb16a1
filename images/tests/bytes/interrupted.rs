//! Uploads that end in the middle, and processes that did.

use std::{
    collections::HashSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cirro_images::bytes::{Category, Fault, Format, Terms, Upload};
use uuid::Uuid;

use crate::support::Site;

const TERMS: Terms = Terms { format: Format::Raw, limit: u64::MAX, size: None };

/// An upload of which three MiB have arrived.
async fn halfway(site: &Site) -> Upload {
    let mut upload = site.store.begin(Uuid::now_v7(), TERMS).await.unwrap();
    for _ in 0..30 {
        upload.write(Bytes::from(vec![1; 100_000])).await.unwrap();
    }
    assert_eq!(site.left().len(), 1);
    upload
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing() {
    let site = Site::new().await;
    drop(halfway(&site).await);
    site.wait_until_empty();
}

#[test]
fn an_upload_that_outlives_its_runtime_leaves_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (site, upload) = runtime.block_on(async {
        let site = Site::new().await;
        let upload = halfway(&site).await;
        (site, upload)
    });
    drop(runtime);
    drop(upload);
    site.wait_until_empty();
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing_and_says_so() {
    let site = Site::new().await;
    let error = halfway(&site).await.abort().await;
    assert_eq!((&error.fault, error.category()), (&Fault::Broken { received: 3_000_000 }, Category::Incomplete));
    assert!(site.left().is_empty());
}

/// Whoever cancels a write and goes on would otherwise store an image with a hole in it.
#[tokio::test]
async fn a_cancelled_write_spoils_the_upload() {
    let site = Site::new().await;
    let mut upload = site.store.begin(Uuid::now_v7(), TERMS).await.unwrap();
    let large = upload.write(Bytes::from(vec![1; 20_000_000]));
    assert!(tokio::time::timeout(Duration::ZERO, large).await.is_err(), "it was taken at once");
    upload.write(Bytes::from_static(b"and more")).await.unwrap();
    assert_eq!(upload.finish(None).await.unwrap_err().fault, Fault::Broken { received: 20_000_008 });
    assert!(site.left().is_empty());
}

/// A client may go away at any moment of `finish`: then there is no object either.
#[tokio::test]
async fn a_cancelled_finish_leaves_nothing() {
    let site = Site::new().await;
    let image = site.qcow2(&[]);
    let mut patience = Duration::ZERO;
    let mut finished = 0;
    while finished < 3 {
        let id = Uuid::now_v7();
        let mut upload = site.store.begin(id, Terms { format: Format::Qcow2, ..TERMS }).await.unwrap();
        upload.write(Bytes::from(image.clone())).await.unwrap();
        match tokio::time::timeout(patience, upload.finish(None)).await {
            Ok(stored) => {
                stored.unwrap();
                assert!(site.store.remove(id).await.unwrap());
                finished += 1;
            }
            Err(_) => site.wait_until_empty(),
        }
        patience += Duration::from_millis(2);
    }
    assert!(patience > Duration::from_millis(6), "nothing was cancelled");
}

#[tokio::test]
async fn a_sweep_removes_what_ended_processes_left_and_spares_living_uploads() {
    let site = Site::new().await;
    let mut alive = halfway(&site).await;
    for _ in 0..3 {
        fs::write(site.path("store/partial").join(format!("{}.Ab12", Uuid::now_v7())), b"half").unwrap();
    }
    let swept = site.store.sweep(HashSet::new()).await.unwrap();
    assert_eq!((swept.partials_removed, swept.orphans), (3, vec![]));
    alive.write(Bytes::from_static(b"on it goes")).await.unwrap();
    alive.finish(None).await.unwrap();
}

/// A sweep may see the file of an upload before the upload has locked it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn uploads_that_begin_while_it_is_swept_are_all_kept() {
    let site = Site::new().await;
    let (store, ended) = (site.store.clone(), Arc::new(AtomicBool::new(false)));
    let until = ended.clone();
    let sweeping = tokio::spawn(async move {
        let mut taken = 0;
        while !until.load(Ordering::Relaxed) {
            taken += store.sweep(HashSet::new()).await.unwrap().partials_removed;
        }
        taken
    });
    for _ in 0..500 {
        site.upload(Format::Raw, b"begun at a bad moment").await.unwrap();
    }
    ended.store(true, Ordering::Relaxed);
    println!("{} files were taken away before their locks", sweeping.await.unwrap());
    assert_eq!(site.left().len(), 500);
}

#[tokio::test]
async fn a_sweep_reports_objects_that_nobody_knows_and_keeps_them() {
    let site = Site::new().await;
    let known = site.upload(Format::Raw, b"known").await.unwrap().image;
    let stranger = site.upload(Format::Raw, b"stranger").await.unwrap().image;
    fs::write(site.path("store/objects/README"), b"not ours").unwrap();
    let swept = site.store.sweep(HashSet::from([known])).await.unwrap();
    let [orphan] = &swept.orphans[..] else { panic!("{swept:?}") };
    assert_eq!((orphan.image, orphan.size), (stranger, 8));
    assert!(orphan.stored.duration_since(SystemTime::now() - Duration::from_mins(1)).is_ok());
    assert_eq!(site.left().len(), 3);
}
