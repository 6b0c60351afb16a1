//! What an uploader said and what arrived do not agree: refused, with nothing left.

use cirro_images::bytes::{Category, Fault, Format, Options, Terms};

use crate::support::{Site, sha256};

const BYTES: &[u8] = &[9; 1_500_000];
const SIZE: u64 = 1_500_000;

fn terms(limit: u64, size: Option<u64>) -> Terms {
    Terms { format: Format::Raw, limit, size }
}

#[tokio::test]
async fn a_wrong_digest() {
    let site = Site::new().await;
    let expected = sha256(b"something else");
    let outcome = site.upload_on(terms(SIZE, None), BYTES, Some(expected)).await;
    assert_eq!(site.expect_refusal(outcome), Fault::DigestMismatch { expected, received: sha256(BYTES) });
}

#[tokio::test]
async fn a_size_that_lies() {
    let site = Site::new().await;
    let outcome = site.upload_on(terms(u64::MAX, Some(SIZE + 1)), BYTES, None).await;
    assert_eq!(site.expect_refusal(outcome), Fault::SizeMismatch { declared: SIZE + 1, received: SIZE });

    // Refused with the first byte too many, not at the end.
    let outcome = site.upload_on(terms(u64::MAX, Some(150_000)), BYTES, None).await;
    assert_eq!(site.expect_refusal(outcome), Fault::SizeMismatch { declared: 150_000, received: 200_000 });
}

#[tokio::test]
async fn more_than_the_quota_has_left() {
    let site = Site::new().await;
    let outcome = site.upload_on(terms(SIZE - 1, None), BYTES, None).await;
    let fault = site.expect_refusal(outcome);
    assert_eq!((&fault, fault.category()), (&Fault::TooLarge { limit: SIZE - 1 }, Category::TooLarge));

    // Known from the declared size: refused before the first byte.
    let outcome = site.upload_on(terms(SIZE - 1, Some(SIZE)), &[], None).await;
    assert_eq!(site.expect_refusal(outcome), Fault::TooLarge { limit: SIZE - 1 });
    site.upload_on(terms(SIZE, Some(SIZE)), BYTES, None).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_would_be_too_full() {
    let site = Site::with(Options { keep_free: u64::MAX / 2, ..Options::default() }).await;
    assert_eq!(site.expect_refusal(site.upload_on(terms(SIZE, None), BYTES, None).await), Fault::NoSpace);
    let site = Site::new().await;
    let outcome = site.upload_on(terms(u64::MAX, Some(u64::MAX / 2)), &[], None).await;
    assert_eq!(site.expect_refusal(outcome), Fault::NoSpace);
}

#[tokio::test]
async fn an_empty_image() {
    let site = Site::new().await;
    assert!(matches!(site.refused(Format::Raw, b"").await, Fault::Malformed { .. }));
    assert!(matches!(site.refused(Format::Qcow2, b"").await, Fault::FormatMismatch { .. }));
}

#[tokio::test]
async fn a_disk_larger_than_the_site_allows() {
    let site = Site::with(Options { max_virtual_size: SIZE - 1, ..Options::default() }).await;
    let fault = site.refused(Format::Raw, BYTES).await;
    assert_eq!(fault, Fault::VirtualTooLarge { virtual_size: SIZE, limit: SIZE - 1 });
}

#[tokio::test]
async fn bytes_of_another_format() {
    let site = Site::new().await;
    let qcow2 = site.qcow2(&[]);
    let fault = site.refused(Format::Raw, &qcow2).await;
    assert_eq!(fault, Fault::FormatMismatch { declared: Format::Raw, found: "qcow2" });
    let fault = site.refused(Format::Qcow2, BYTES).await;
    assert_eq!(fault, Fault::FormatMismatch { declared: Format::Qcow2, found: "no qcow2" });
    for format in ["vmdk", "vhdx", "vdi", "qed"] {
        let path = site.path(format);
        crate::support::run("qemu-img", &["create", "-q", "-f", format, path.to_str().unwrap(), "16M"]);
        let bytes = std::fs::read(&path).unwrap();
        for declared in [Format::Raw, Format::Qcow2] {
            assert_eq!(site.refused(declared, &bytes).await, Fault::FormatMismatch { declared, found: format });
        }
    }
    let fault = site.refused(Format::Raw, b"LUKS\xba\xbe and then its header").await;
    assert_eq!(fault, Fault::FormatMismatch { declared: Format::Raw, found: "luks" });
}
