//! A disk that is really full: the store lies on an 8 MiB tmpfs, mounted in a mount namespace of its own.

use std::{path::PathBuf, process::Command};

use bytes::Bytes;
use cirro_images::bytes::{ByteStore, Category, Fault, Format, Options, Terms};
use uuid::Uuid;

/// Set to the mounted folder in the process that the test starts for itself.
const MOUNTED: &str = "CIRRO_TEST_FULL_DISK";

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    if let Some(folder) = std::env::var_os(MOUNTED) {
        tokio::runtime::Runtime::new().unwrap().block_on(fill(folder.into()));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespaces: &[&str] =
        if rustix::process::geteuid().is_root() { &["--mount"] } else { &["--mount", "--user", "--map-root-user"] };
    let script =
        r#"mount -t tmpfs -o size=8m none "$1" && exec "$2" --exact full_disk::a_full_disk_is_said_and_leaves_nothing"#;
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["--", "sh", "-c", script, "sh"]).arg(folder.path());
    command.arg(std::env::current_exe().unwrap()).env(MOUNTED, folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

async fn fill(folder: PathBuf) {
    let store = ByteStore::open_at(&folder, Options { keep_free: 0, ..Options::default() }).await.unwrap();
    let terms = Terms { format: Format::Raw, limit: u64::MAX, size: None };
    let full = |piece: usize| {
        let store = store.clone();
        async move {
            let mut upload = store.begin(Uuid::now_v7(), terms).await?;
            for _ in 0..16 * 1024 * 1024 / piece {
                upload.write(Bytes::from(vec![1; piece])).await?;
            }
            upload.finish(None).await
        }
    };
    let error = full(100_000).await.unwrap_err();
    assert_eq!((&error.fault, error.category()), (&Fault::NoSpace, Category::Unavailable));
    // Two that fill it together: whoever comes too late is refused by the file system itself.
    let (one, other) = tokio::join!(full(65_536), full(65_536));
    assert_eq!(one.unwrap_err().fault, Fault::NoSpace);
    assert_eq!(other.unwrap_err().fault, Fault::NoSpace);
    for name in ["objects", "partial"] {
        assert_eq!(std::fs::read_dir(folder.join(name)).unwrap().count(), 0, "{name}");
    }
    let mut upload = store.begin(Uuid::now_v7(), terms).await.unwrap();
    upload.write(Bytes::from(vec![1; 6_000_000])).await.unwrap();
    upload.finish(None).await.unwrap();
}
