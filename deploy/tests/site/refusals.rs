//! What keeps a site from starting is told in one sentence that says what to do.

use crate::kit::{Did, LIMIT, Site, until};
use std::{fs, path::Path};

/// One sentence on stderr, with these words in it.
fn says(did: &Did, code: i32, words: &[&str]) {
    assert_eq!(did.code, code, "{did:?}");
    assert!(did.err.starts_with("cirro: "), "{did:?}");
    assert_eq!(did.err.trim_end().lines().count(), 1, "{did:?}");
    assert!(!did.err.contains("panicked") && !did.err.contains("RUST_BACKTRACE"), "{did:?}");
    for word in words {
        assert!(did.err.contains(word), "{word} in {did:?}");
    }
    assert!(!did.out.contains("the site answers"), "{did:?}");
}

fn refused(site: &Site, data: &Path, listen: &str, words: &[&str], env: &[(&str, &str)]) -> Did {
    site.up(data, listen, words, env).did()
}

#[test]
fn a_second_site_gets_neither_the_data_folder_nor_the_address() {
    let mut site = Site::prepared(&["--no-agent"]);
    site.start();
    let profile = fs::read(site.profile()).unwrap();
    let did = refused(&site, &site.data(), "127.0.0.1:0", &["--no-agent"], &[]);
    says(&did, 6, &["another process of Cirro", "stop it first", "--data"]);
    let other = site.home.path().join("other");
    let did = refused(&site, &other, &site.address, &["--no-agent"], &[]);
    says(&did, 6, &[&site.address, "already in use", "--listen"]);
    assert_eq!(fs::read(site.profile()).unwrap(), profile, "the login of the site that runs is untouched");
    // the one that was there has noticed nothing
    site.cirro(&["user", "list"]).text();
    site.stop();
    // nothing of the refused ones stands in the way
    site.start();
    site.cirro(&["user", "list"]).text();
}

#[test]
fn a_data_folder_that_cannot_be_written() {
    let site = Site::prepared(&[]);
    let file = site.home.path().join("file");
    fs::write(&file, "").unwrap();
    // not even root makes a folder in these
    for data in [file.join("data"), "/proc/cirro".into()] {
        let did = refused(&site, &data, "127.0.0.1:0", &["--no-agent"], &[]);
        says(&did, 5, &[data.to_str().unwrap(), "--data"]);
    }
    assert!(!site.profile().exists(), "no site, no login");
}

#[test]
fn an_address_that_others_reach_needs_a_certificate() {
    let site = Site::prepared(&[]);
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7070"] {
        let did = refused(&site, &site.data(), listen, &["--no-agent"], &[]);
        says(&did, 1, &["certificate", "127.0.0.1"]);
    }
    assert!(!site.data().exists(), "nothing was begun");
    assert!(!site.profile().exists());
}

#[test]
fn an_agent_that_is_not_there() {
    let site = Site::prepared(&[]);
    let missing = site.home.path().join("cirro-node-agent");
    let mut up = site.up(&site.data(), "127.0.0.1:0", &[], &[("CIRRO_NODE_AGENT", missing.to_str().unwrap())]);
    until(LIMIT, "it ends, and does not say that it answers", || {
        assert!(!fs::read_to_string(&up.out).unwrap().contains("the site answers"), "it starts without its agent");
        up.has_ended().then_some(())
    });
    says(&up.did(), 5, &[missing.to_str().unwrap(), "CIRRO_NODE_AGENT", "--no-agent"]);
    assert!(!site.data().exists() && !site.profile().exists(), "nothing was begun");
}

#[test]
fn words_that_make_no_sense() {
    let site = Site::prepared(&[]);
    assert_eq!(refused(&site, &site.data(), "nowhere", &["--no-agent"], &[]).code, 2);
    assert_eq!(refused(&site, &site.data(), "127.0.0.1:0", &["--no-agent", "--simulate", "-1"], &[]).code, 2);
    let did = refused(&site, &site.data(), "127.0.0.1:0", &["--no-agent", "--simulate", "1001"], &[]);
    says(&did, 1, &["1001", "1000"]);
}
