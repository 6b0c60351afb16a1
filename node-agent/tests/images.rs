//! Images come to a node once, and only as they were announced.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{Bytes, GiB, compute::instance::Power, images::machine_image::ImageFormat};
use cirro_node_agent_core::{config_disk, desk::Desk, disks, image_cache::ImageCache, room::Room};
use kit::{id, spec};
use std::{fs, io::Read, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

const DIGEST_OF_HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn cache(directory: &Path, reserve: u64) -> (Arc<Desk>, Arc<ImageCache>) {
    let bytes = directory.join("bytes");
    fs::write(&bytes, "hello").unwrap();
    let images = directory.join("images");
    fs::create_dir(&images).unwrap();
    fs::write(images.join("left-behind.partial"), "x").unwrap();
    let desk = Arc::new(Desk::new(Some(bytes)));
    let room = Room { directory: images.clone(), reserve };
    let cache = ImageCache::open(images, desk.clone(), room).unwrap();
    (desk, Arc::new(cache))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_crosses_once_however_many_guests_start() {
    let directory = tempfile::tempdir().unwrap();
    let (desk, cache) = cache(directory.path(), 0);
    let mut image = spec(id(1), 1, Power::Running).image;
    (image.sha256, image.size_bytes) = (DIGEST_OF_HELLO.to_owned(), Bytes::new(5));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (cache, image) = (cache.clone(), image.clone());
        tasks.spawn(async move { cache.path(&image).await.unwrap() });
    }
    let paths = tasks.join_all().await;
    assert_eq!(desk.with(|papers| papers.fetches), 1);
    assert!(paths.iter().all(|path| *path == paths[0]));
    assert_eq!(fs::read(&paths[0]).unwrap(), b"hello");
    assert_eq!(fs::metadata(&paths[0]).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(fs::read_dir(directory.path().join("images")).unwrap().count(), 1, "nothing unfinished is left");
}

#[tokio::test]
async fn what_was_not_announced_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_, cache) = cache(directory.path(), 0);
    let mut image = spec(id(1), 1, Power::Running).image;
    image.size_bytes = Bytes::new(5);
    for (digest, says) in [("0".repeat(64), "not as announced"), ("../../etc/passwd".to_owned(), "no usable SHA-256")] {
        image.sha256 = digest;
        assert!(cache.path(&image).await.unwrap_err().to_string().contains(says));
    }
    assert_eq!(fs::read_dir(directory.path().join("images")).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn the_reserve_is_never_given_away() {
    let directory = tempfile::tempdir().unwrap();
    let (desk, cache) = cache(directory.path(), u64::MAX / 2);
    let mut image = spec(id(1), 1, Power::Running).image;
    image.sha256 = DIGEST_OF_HELLO.to_owned();
    assert!(cache.path(&image).await.unwrap_err().to_string().contains("free some disk room"));
    assert_eq!(desk.with(|papers| papers.fetches), 0);
}

#[tokio::test]
async fn an_overlay_is_made_only_over_an_image_that_names_no_other_file() {
    let directory = tempfile::tempdir().unwrap();
    let (image, overlay) = (directory.path().join("image"), directory.path().join("root.qcow2"));
    let make = |size| disks::make_overlay(&overlay, &image, &ImageFormat::Qcow2, GiB::new(size));

    disks::make_volume(&image, GiB::new(2)).await.unwrap();
    assert!(make(1).await.unwrap_err().to_string().contains("choose a larger flavor"));
    make(3).await.unwrap();
    let mut header = [0; 32];
    fs::File::open(&overlay).unwrap().read_exact(&mut header).unwrap();
    assert_eq!(header[24..32], (3_u64 << 30).to_be_bytes());
    assert_eq!(fs::metadata(&overlay).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(&overlay).unwrap();

    for (at, value, says) in
        [(15, 1, "names other files"), (35, 1, "names other files"), (79, 4, "names other files"), (0, 0, "not qcow2")]
    {
        let mut bytes = fs::read(&image).unwrap();
        let before = std::mem::replace(&mut bytes[at], value);
        fs::write(&image, &bytes).unwrap();
        assert!(make(3).await.unwrap_err().to_string().contains(says), "byte {at}");
        assert!(!overlay.exists());
        bytes[at] = before;
        fs::write(&image, &bytes).unwrap();
    }
}

#[test]
fn the_config_disk_says_who_the_guest_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.img");
    let mut wish = spec(id(1), 1, Power::Running);
    wish.ssh_keys = vec!["ssh-ed25519 AAAA a\"b: c\n- evil".to_owned()];
    config_disk::write(&wish, &path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let volume = fatfs::FileSystem::new(fs::File::open(&path).unwrap(), fatfs::FsOptions::new()).unwrap();
    assert_eq!(volume.volume_label(), "CIDATA");
    let read = |name: &str| {
        let mut text = String::new();
        volume.root_dir().open_file(name).unwrap().read_to_string(&mut text).unwrap();
        text
    };
    assert!(read("meta-data").starts_with(&format!("instance-id: {}\nlocal-hostname: web1\n", wish.id)));
    assert!(read("user-data").contains(r#"- "ssh-ed25519 AAAA a\"b: c\n- evil""#), "a key can't become YAML");
    assert!(read("network-config").contains("dhcp4: true"));
}
