//! `cirro events` against a real site that is killed and started again.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

/// Far more than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cirro(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cirro"));
    command.args(words).env_clear().env("CIRRO_CONFIG", home.join("config")).stdin(Stdio::null());
    command
}

fn done(home: &Path, words: &[&str]) -> Output {
    let done = cirro(home, words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

/// The lines that a process prints, as they come.
fn lines(out: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A site that answers.
fn up(home: &Path, listen: &str) -> Running {
    let data = home.join("data");
    let words = ["up", "--no-agent", "--listen", listen, "--data", data.to_str().unwrap()];
    let mut site = Running(cirro(home, &words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let told = lines(site.0.stdout.take().unwrap());
    while !told.recv_timeout(LIMIT).expect("the site starts").contains("the site answers") {}
    // what it says later is read and dropped
    std::thread::spawn(move || while told.recv().is_ok() {});
    site
}

/// The project that the next line tells of.
fn created(told: &mpsc::Receiver<String>) -> Value {
    let line = told.recv_timeout(LIMIT).expect("a change is told");
    let change: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!((&change["service"], &change["model"]), (&"identity".into(), &"project".into()), "{change}");
    assert_eq!(change["kind"], "created");
    change
}

fn project(home: &Path, name: &str) -> Value {
    let made = done(home, &["project", "create", "--name", name, "-o", "json"]);
    serde_json::from_slice::<Value>(&made.stdout).unwrap()["id"].clone()
}

#[test]
fn changes_are_told_once_each_though_the_site_is_killed_meanwhile() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let site = up(home, &listen);
    let words = ["events", "--service", "identity", "--model", "project", "--follow"];
    let mut follower = Running(cirro(home, &words).stdout(Stdio::piped()).spawn().unwrap());
    let told = lines(follower.0.stdout.take().unwrap());
    // until it follows, what happens is not told: one project after another is made
    let first = (0..).find_map(|n| {
        let id = project(home, &format!("early{n}"));
        told.recv_timeout(Duration::from_millis(500)).ok().map(|line| (line, id))
    });
    let (line, id) = first.unwrap();
    let change: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(change["id"], id);

    drop(site);
    let site = up(home, &listen);
    let ids = ["one", "two", "three"].map(|name| project(home, name));
    for id in &ids {
        assert_eq!(created(&told)["id"], *id, "each once, in order");
    }
    let position = change["position"].as_str().unwrap();
    let since = done(home, &["events", "--service", "identity", "--model", "project", "--after", position]);
    assert_eq!(String::from_utf8_lossy(&since.stdout).lines().count(), 3);
    assert!(String::from_utf8_lossy(&since.stderr).contains("go on with --after"));
    drop(site);
}
