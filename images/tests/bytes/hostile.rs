//! qcow2 images made to harm: each refused for its own reason, with nothing left.

use std::process::Command;

use cirro_images::bytes::{BUFFER, Fault, Format, Options, Terms};
use uuid::Uuid;

use crate::support::{MIB, Site, patch, run, wait_until};

/// Why a damaged image is refused.
async fn problem(site: &Site, bytes: &[u8]) -> String {
    match site.refused(Format::Qcow2, bytes).await {
        Fault::Malformed { problem } => problem,
        other => panic!("refused for another reason: {other}"),
    }
}

#[tokio::test]
async fn one_that_reads_the_hosts_secrets_through_a_backing_file() {
    let site = Site::new().await;
    let path = site.path("evil.qcow2");
    let file = path.to_str().unwrap();
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", file, "64M"]);
    assert_eq!(site.refused(Format::Qcow2, &std::fs::read(file).unwrap()).await, Fault::BackingFile);
    // The name alone, without an extension that gives its format, and in version 2.
    let bytes = site.qcow2(&["-o", "compat=0.10"]);
    assert_eq!(site.refused(Format::Qcow2, &patch(&bytes, 8, &1024_u64.to_be_bytes())).await, Fault::BackingFile);
}

#[tokio::test]
async fn one_that_keeps_its_data_elsewhere() {
    let site = Site::new().await;
    let path = site.path("evil.qcow2");
    let file = path.to_str().unwrap();
    let data = format!("data_file={},data_file_raw=on", site.path("data").display());
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", &data, file, "64M"]);
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(site.refused(Format::Qcow2, &bytes).await, Fault::DataFile);
    // Also when only the extension with the name is left and the feature bit is gone.
    assert_eq!(site.refused(Format::Qcow2, &patch(&bytes, 72, &[0; 8])).await, Fault::DataFile);
}

/// Makes an encrypted image. qemu-img measures how fast it derives keys, and on a busy machine it sometimes can't.
fn encrypted(site: &Site, format: &str) -> Vec<u8> {
    let path = site.path("secret.qcow2");
    let options = format!("encrypt.format={format},encrypt.key-secret=key");
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "--object", "secret,id=key,data=abc", "-o", &options]);
    create.arg(&path).arg("16M");
    wait_until("qemu-img has made an encrypted image", || create.output().unwrap().status.success());
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn one_that_is_encrypted() {
    let site = Site::new().await;
    assert_eq!(site.refused(Format::Qcow2, &encrypted(&site, "aes")).await, Fault::Encrypted);
    let luks = encrypted(&site, "luks,encrypt.iter-time=10");
    assert_eq!(site.refused(Format::Qcow2, &luks).await, Fault::Encrypted);
    // Also when only the extension that points to the keys is left.
    assert_eq!(site.refused(Format::Qcow2, &patch(&luks, 32, &[0; 4])).await, Fault::Encrypted);
}

#[tokio::test]
async fn ones_with_features_that_are_unknown() {
    let site = Site::new().await;
    let bytes = site.qcow2(&[]);
    for bit in [5, 17, 63] {
        let said = problem(&site, &patch(&bytes, 72, &(1_u64 << bit).to_be_bytes())).await;
        assert!(said.contains("unknown"), "bit {bit}: {said}");
    }
    assert!(problem(&site, &patch(&bytes, 72, &1_u64.to_be_bytes())).await.contains("closed"));
    assert!(problem(&site, &patch(&bytes, 72, &2_u64.to_be_bytes())).await.contains("corrupt"));
    for version in [0_u32, 1, 4, u32::MAX] {
        assert!(problem(&site, &patch(&bytes, 4, &version.to_be_bytes())).await.contains("version"));
    }
}

#[tokio::test]
async fn bombs() {
    let site = Site::new().await;
    let path = site.path("bomb.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "1P"]);
    let bytes = std::fs::read(&path).unwrap();
    let fault = site.refused(Format::Qcow2, &bytes).await;
    assert_eq!(fault, Fault::VirtualTooLarge { virtual_size: 1 << 50, limit: 2 << 40 });
    assert!(fault.to_string().contains("2199023255552"), "{fault}");

    // A limit that lets everything pass is no hole: QEMU's own limits stay.
    let site = Site::with(Options { max_virtual_size: u64::MAX, ..Options::default() }).await;
    let bytes = patch(&site.qcow2(&[]), 24, &u64::MAX.to_be_bytes());
    let fault = site.refused(Format::Qcow2, &bytes).await;
    assert!(matches!(fault, Fault::VirtualTooLarge { virtual_size: u64::MAX, .. }), "{fault}");
}

#[tokio::test]
async fn ones_whose_header_lies() {
    let site = Site::new().await;
    let bytes = site.qcow2(&[]);
    let lies: [(&str, usize, &[u8], &str); 11] = [
        ("a larger disk than its tables cover", 24, &(1_u64 << 40).to_be_bytes(), "cover"),
        ("no disk", 24, &[0; 8], "size"),
        ("half a sector", 24, &(64 * MIB - 256).to_be_bytes(), "sectors"),
        ("tiny clusters", 20, &8_u32.to_be_bytes(), "clusters"),
        ("huge clusters", 20, &63_u32.to_be_bytes(), "clusters"),
        ("a huge L1 table", 36, &u32::MAX.to_be_bytes(), "L1 table"),
        ("an L1 table far away", 40, &(1_u64 << 40).to_be_bytes(), "cut off"),
        ("an L1 table between clusters", 40, &1_u64.to_be_bytes(), "L1 table"),
        ("a huge refcount table", 56, &u32::MAX.to_be_bytes(), "refcount table"),
        ("a million snapshots", 60, &1_000_000_u32.to_be_bytes(), "snapshots"),
        ("a header without end", 100, &u32::MAX.to_be_bytes(), "length"),
    ];
    for (lie, at, new, word) in lies {
        let said = problem(&site, &patch(&bytes, at, new)).await;
        assert!(said.contains(word), "{lie}: {said}");
    }
}

#[tokio::test]
async fn ones_that_are_cut_off() {
    let site = Site::new().await;
    let bytes = site.qcow2(&[]);
    for length in [4, 50, 103, 60_000, 70_000, 200_000, bytes.len() / 2] {
        problem(&site, &bytes[..length]).await;
    }
}

#[tokio::test]
async fn ones_that_only_the_tool_sees_through() {
    let site = Site::new().await;
    let bytes = site.qcow2(&[]);
    let l1 = usize::try_from(u64::from_be_bytes(bytes[40..48].try_into().unwrap())).unwrap();
    // The first L2 table is at a place that is no cluster's, or past the end of the file.
    for entry in [(1_u64 << 63) | 1024, (1 << 63) | (1 << 45)] {
        let said = problem(&site, &patch(&bytes, l1, &entry.to_be_bytes())).await;
        assert!(said.starts_with("qemu-img"), "{said}");
    }
    // Rubbish behind a good header.
    let mut rubbish = bytes[..65_536].to_vec();
    rubbish.resize(bytes.len(), 0xa5);
    let said = problem(&site, &rubbish).await;
    assert!(said.starts_with("qemu-img"), "{said}");
}

#[tokio::test]
async fn a_hostile_beginning_ends_the_upload_before_its_end() {
    let site = Site::new().await;
    let evil = patch(&site.qcow2(&[]), 8, &1024_u64.to_be_bytes());
    let terms = Terms { format: Format::Qcow2, limit: u64::MAX, size: Some(1 << 30) };
    let mut upload = site.store.begin(Uuid::now_v7(), terms).await.unwrap();
    let mut error = None;
    while error.is_none() && upload.received() < 16 * BUFFER as u64 {
        error = upload.write(evil[..100_000].to_vec().into()).await.err();
    }
    assert_eq!(error.expect("all of it was taken").fault, Fault::BackingFile);
    assert!(upload.received() <= 3 * BUFFER as u64 + 100_000, "only after {} bytes", upload.received());
    assert!(site.left().is_empty());
    let again = upload.finish(None).await.unwrap_err().fault;
    assert!(matches!(again, Fault::SizeMismatch { .. }), "{again}");
}
