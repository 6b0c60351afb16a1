//! The memory that uploads and downloads need does not follow the image's size. A process of its own, because it looks
//! at the process's high-water mark.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use bytes::Bytes;
use cirro_images::bytes::{ByteStore, Format, Options, Terms};
use futures_util::TryStreamExt;
use uuid::Uuid;

const SIZE: u64 = 256 << 20;
const MOST_GROWTH_KIB: u64 = 48 * 1024;

/// The largest resident size so far, in KiB (proc(5), `VmHWM`).
fn high_water() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_follow_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let store = ByteStore::open_at(folder.path(), Options::default()).await.unwrap();
    let image = Uuid::now_v7();
    let before = high_water();

    let terms = Terms { format: Format::Raw, limit: SIZE, size: Some(SIZE) };
    let mut upload = store.begin(image, terms).await.unwrap();
    while upload.received() < SIZE {
        upload.write(Bytes::from(vec![0; 64 * 1024])).await.unwrap();
    }
    let stored = upload.finish(None).await.unwrap();
    assert_eq!(stored.size, SIZE);
    let uploaded = high_water();

    let body = store.open(image, None).await.unwrap().body;
    let read = body.try_fold(0, async |read, chunk| Ok(read + chunk.len() as u64)).await.unwrap();
    assert_eq!(read, SIZE);
    let downloaded = high_water();

    assert!(uploaded - before < MOST_GROWTH_KIB, "an upload of {SIZE} bytes took {} KiB", uploaded - before);
    assert!(downloaded - before < MOST_GROWTH_KIB, "a download of {SIZE} bytes took {} KiB", downloaded - before);
}
