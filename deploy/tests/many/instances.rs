//! Instances, as people ask for them.

use crate::common::{LIMIT, Typed, until};
use serde_json::Value;
use std::{path::Path, process::Command};

/// The image that they start from: simulated machines start it as well as any.
pub fn image(site: &impl Typed, folder: &Path) {
    let file = folder.join("small.qcow2");
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&file).arg("64M").status();
    assert!(made.unwrap().success());
    site.cirro(&["image", "create", "--name", "small", "--file", file.to_str().unwrap(), "--wait"]).text();
}

/// One of these, with this name.
pub fn create(site: &impl Typed, name: &str) {
    site.cirro(&["instance", "create", "--name", name, "--image", "small", "--flavor", "tiny"]).text();
}

/// Waits until so many instances run, and tells them.
pub fn running(site: &impl Typed, count: usize) -> Vec<Value> {
    until(LIMIT, &format!("{count} instances run"), || {
        let listed = site.listed(&["instance", "list"]);
        let running = listed.iter().filter(|instance| instance["status"] == "running").count();
        (listed.len() == count && running == count).then_some(listed)
    })
}
