//! The units that production runs: systemd understands every word of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails where it is")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What systemd says of these units, as files; nothing when all is well.
fn said_of(units: &[(&str, String)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = units.iter().map(|(name, _)| folder.path().join(name)).collect();
    for (file, (_, text)) in files.iter().zip(units) {
        fs::write(file, text).unwrap();
    }
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&files).output();
    let done = verify.expect("systemd-analyze is there: run `deploy/packages test`");
    let said = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
    // what the machine itself has is not ours
    let ours = said.lines().filter(|line| units.iter().any(|(name, _)| line.contains(name)) || !done.status.success());
    ours.collect::<Vec<_>>().join("\n")
}

/// A shipped unit, with a program that is there.
fn shipped(name: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)).unwrap();
    assert!(text.contains("/usr/bin/cirro"), "{name} starts none of ours");
    text.replace("/usr/bin/cirro-node-agent", "/bin/true").replace("/usr/bin/cirro", "/bin/true")
}

#[test]
fn systemd_understands_the_shipped_units() {
    let process = shipped("cirro@.service");
    let units = [
        ("cirro@compute-1.service", process),
        ("cirro-bus.service", shipped("cirro-bus.service")),
        ("cirro-node-agent.service", shipped("cirro-node-agent.service")),
        ("cirro-watchdog.service", shipped("cirro-watchdog.service")),
    ];
    assert_eq!(said_of(&units), "");
    let wrong = units[1].1.replace("KillMode=", "KilMode=");
    assert!(said_of(&[("cirro-bus.service", wrong)]).contains("Unknown key"), "a mistake would be told");
}
