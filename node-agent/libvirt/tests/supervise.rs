//! The process that libvirt is started below takes in orphans and reaps them at once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const AGENT: &str = env!("CARGO_BIN_EXE_cirro-node-agent");

/// QEMU leads a session of its own, its parent has ended, and libvirt waits until its process is gone.
#[test]
fn an_orphan_in_a_session_of_its_own_is_reaped() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("pid");
    // The shell in brackets ends at once; what it leaves tells its own process id and ends when it is asked to.
    let script =
        r#"(setsid sh -c 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec tail -f /dev/null' sh "$1" &); read -r line"#;
    let mut supervisor = Command::new(AGENT)
        .args(["supervise", "--", "sh", "-c", script, "sh"])
        .arg(&told)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the orphan tells its process id", || told.exists());
    let orphan = std::fs::read_to_string(&told).unwrap().trim().to_owned();
    let parent = || field(&orphan, "PPid:");
    wait_until("the supervisor takes it in", || parent() == Some(supervisor.id().to_string()));
    assert!(Command::new("kill").args(["-KILL", &orphan]).status().unwrap().success());
    wait_until("nothing is left of it, not even a zombie", || !Path::new("/proc").join(&orphan).exists());
    drop(supervisor.stdin.take());
    // `read` at the end of its input fails with 1, and the supervisor ends as its command did.
    assert_eq!(supervisor.wait().unwrap().code(), Some(1));
}

fn field(process: &str, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process).join("status")).ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "still not so: {what}");
        std::thread::yield_now();
    }
}
