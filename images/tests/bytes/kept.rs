//! Good images: stored as they came, described rightly, read back whole and in parts.

use bytes::Bytes;
use cirro_images::bytes::{CHUNK, Fault, Format, Stored, Terms};
use futures_util::TryStreamExt;
use proptest::prelude::*;
use uuid::Uuid;

use crate::support::{MIB, Site, mode, sha256};

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 251) % 255).unwrap()).collect()
}

#[tokio::test]
async fn a_qcow2_image_is_kept_as_it_came() {
    let site = Site::new().await;
    for options in
        [&[][..], &["-o", "compat=0.10"], &["-o", "compression_type=zstd,extended_l2=on"], &["-o", "cluster_size=512"]]
    {
        let bytes = site.qcow2(options);
        let stored = site.upload(Format::Qcow2, &bytes).await.unwrap();
        let size = bytes.len() as u64;
        let sha256 = sha256(&bytes);
        assert_eq!(stored, Stored { image: stored.image, size, virtual_size: 64 * MIB, format: Format::Qcow2, sha256 });
        assert_eq!(site.read(stored.image, None).await, bytes);
    }
}

#[tokio::test]
async fn a_raw_image_is_kept_as_it_came() {
    let site = Site::new().await;
    let bytes = pattern(3_000_001);
    let stored = site.upload(Format::Raw, &bytes).await.unwrap();
    assert_eq!((stored.size, stored.virtual_size), (3_000_001, 3_000_320), "the last sector is filled up");
    assert_eq!(site.read(stored.image, None).await, bytes);
}

#[tokio::test]
async fn size_and_digest_need_not_be_declared() {
    let site = Site::new().await;
    let terms = Terms { format: Format::Raw, limit: 1000, size: None };
    let stored = site.upload_on(terms, &pattern(1000), None).await.unwrap();
    assert_eq!(stored.sha256, sha256(&pattern(1000)));
}

#[tokio::test]
async fn ranges_read_the_asked_bytes_in_bounded_chunks() {
    let site = Site::new().await;
    let bytes = pattern(2 * CHUNK + 77);
    let image = site.upload(Format::Raw, &bytes).await.unwrap().image;
    let size = bytes.len();
    for range in [0..0, 0..1, 5..CHUNK, CHUNK - 1..CHUNK + 1, 1..size, size - 1..size, size..size] {
        let asked = range.start as u64..range.end as u64;
        let object = site.store.open(image, Some(asked.clone())).await.unwrap();
        assert_eq!((object.size, object.range), (size as u64, asked.clone()));
        let chunks: Vec<Bytes> = object.body.try_collect().await.unwrap();
        assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK));
        assert_eq!(chunks.concat(), bytes[range], "{asked:?}");
    }
    let size = size as u64;
    for asked in [0..size + 1, size + 1..size + 2, u64::MAX - 1..u64::MAX] {
        let error = site.store.open(image, Some(asked)).await.unwrap_err();
        assert_eq!(error.fault, Fault::BadRange { size });
    }
}

#[tokio::test]
async fn the_store_is_closed_to_others_and_its_objects_are_read_only() {
    let site = Site::new().await;
    let image = site.upload(Format::Qcow2, &site.qcow2(&[])).await.unwrap().image;
    for (name, expected) in [("", 0o700), ("objects", 0o700), ("partial", 0o700)] {
        assert_eq!(mode(&site.path("store").join(name)), expected, "store/{name}");
    }
    assert_eq!(mode(&site.path("store").join("objects").join(image.to_string())), 0o400);
}

#[tokio::test]
async fn stored_bytes_are_never_replaced() {
    let site = Site::new().await;
    let image = Uuid::now_v7();
    let terms = Terms { format: Format::Raw, limit: u64::MAX, size: None };
    let mut first = site.store.begin(image, terms).await.unwrap();
    let mut second = site.store.begin(image, terms).await.unwrap();
    first.write(Bytes::from_static(b"first")).await.unwrap();
    second.write(Bytes::from_static(b"second")).await.unwrap();
    first.finish(None).await.unwrap();
    assert_eq!(second.finish(None).await.unwrap_err().fault, Fault::AlreadyStored);
    assert_eq!(site.store.begin(image, terms).await.unwrap_err().fault, Fault::AlreadyStored);
    assert_eq!(site.read(image, None).await, b"first");
    assert_eq!(site.left().len(), 1);
}

#[tokio::test]
async fn a_removed_image_is_gone_but_finishes_its_downloads() {
    let site = Site::new().await;
    let bytes = pattern(3 * CHUNK);
    let image = site.upload(Format::Raw, &bytes).await.unwrap().image;
    let download = site.store.open(image, None).await.unwrap();
    assert!(site.store.remove(image).await.unwrap());
    assert!(!site.store.remove(image).await.unwrap());
    assert_eq!(site.store.open(image, None).await.unwrap_err().fault, Fault::NotStored);
    let chunks: Vec<Bytes> = download.body.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the network cuts the bytes up, what is stored and its digest are the same.
    #[test]
    fn pieces_do_not_matter(cuts in proptest::collection::vec(1..300_000_usize, 0..12), tail in 1..2000_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = Site::new().await;
            let bytes = pattern(cuts.iter().sum::<usize>() + tail);
            let terms = Terms { format: Format::Raw, limit: u64::MAX, size: Some(bytes.len() as u64) };
            let mut upload = site.store.begin(Uuid::now_v7(), terms).await.unwrap();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut);
                upload.write(Bytes::copy_from_slice(now)).await.unwrap();
                rest = later;
            }
            for byte in rest {
                upload.write(Bytes::copy_from_slice(&[*byte])).await.unwrap();
            }
            let stored = upload.finish(Some(sha256(&bytes))).await.unwrap();
            assert_eq!(site.read(stored.image, None).await, bytes);
        });
    }
}
