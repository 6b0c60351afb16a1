//! How a site begins, ends, and begins again.

use crate::kit::{Site, until};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

/// Requests under way get 3 s; the rest is for a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn the_first_start_tells_the_password_once_and_the_second_finds_everything() {
    let mut site = Site::prepared(&["--no-agent", "--simulate", "1"]);
    let told = site.start();
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(site.profile()).unwrap()).unwrap();
    let password = kept["password"].as_str().unwrap().to_owned();
    assert!(password.len() >= 20, "a password that nobody guesses");
    assert_eq!(told.matches(&password).count(), 1, "{told}");
    assert_eq!(fs::metadata(site.profile()).unwrap().permissions().mode() & 0o777, 0o600);
    site.cirro(&["project", "create", "--name", "web"]).text();
    let before = site.cirro(&["project", "list", "-o", "json"]).json();
    assert_eq!(before["items"].as_array().unwrap().len(), 2);
    let log = site.stop();
    assert!(!log.contains(&password), "no log holds a password");

    let told = site.start();
    assert!(!told.contains("password") && !told.contains(&password), "{told}");
    assert_eq!(site.cirro(&["project", "list", "-o", "json"]).json(), before);
    let nodes = site.cirro(&["node", "list", "-o", "json"]).json();
    assert_eq!(nodes["items"].as_array().unwrap().len(), 1, "the node is the one from before: {nodes}");
    assert!(!site.stop().contains(&password));
}

#[test]
fn nobody_else_reads_what_a_site_keeps() {
    let mut site = Site::prepared(&["--no-agent"]);
    site.start();
    for service in ["identity", "compute", "storage", "images"] {
        let file = site.data().join(format!("{service}.sqlite"));
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", file.display());
    }
}

#[test]
fn told_to_end_it_ends_in_time_and_a_clean_run_has_nothing_to_warn_of() {
    let mut site = Site::simulated(1);
    let image = site.image();
    site.cirro(&["instance", "create", "--name", "web1", "--image", &image, "--flavor", "tiny", "--wait"]).text();
    site.cirro(&["instance", "delete", "web1", "--wait"]).text();
    let begun = std::time::Instant::now();
    let log = site.stop();
    assert!(begun.elapsed() < ENDS_WITHIN, "{:?}", begun.elapsed());
    // what it warns of is looked for at the end of every site
    assert!(log.contains("INFO"), "it does log: {log}");
}

#[test]
fn interrupted_it_ends_just_as_well() {
    let mut site = Site::prepared(&["--no-agent"]);
    site.start();
    let up = site.process();
    crate::kit::signal("INT", up.id());
    assert_eq!(up.ended().code(), Some(0));
    until(ENDS_WITHIN, "the address is free", || std::net::TcpListener::bind(&site.address).ok().map(drop));
}
