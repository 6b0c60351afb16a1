//! What tests of whole sites share: waiting, commands, signals, and the registry.

pub mod etcd;

use serde_json::Value;
use std::{
    fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine; what takes longer hangs.
pub const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// What the condition gives as soon as it gives something; stops the test when it never does.
pub fn until<T>(limit: Duration, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(limit, condition).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// The same for who goes on without it.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Did {
    pub code: i32,
    pub out: String,
    pub err: String,
}
impl Did {
    fn of(done: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) }
    }
    /// What it printed, when all is well.
    pub fn text(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
    /// The same with `-o json`.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }
}

pub fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([format!("-{name}"), process.to_string()]).status().unwrap().success());
}

/// The same to one that may have ended by now.
pub fn signal_if_there(name: &str, process: u32) {
    let _ = Command::new("kill").args([format!("-{name}"), process.to_string()]).output();
}

/// A program of the workspace, which cargo puts one folder above the tests.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is not there: run `cargo build --workspace` first", path.display());
    path
}

/// `cirro`, typed by somebody whose profile is in this folder, and whose shell sets nothing.
pub fn cirro(profile: &Path) -> Command {
    let mut command = Command::new(program("cirro"));
    for name in ["URL", "TOKEN", "PROJECT", "LOG", "NODE_AGENT", "REGISTRY", "REQUEST_ID"] {
        command.env_remove(format!("CIRRO_{name}"));
    }
    command.env("CIRRO_CONFIG", profile).stdin(Stdio::null());
    command
}

/// Runs a command until it ends.
pub fn did(command: &mut Command) -> Did {
    Did::of(command.output().unwrap())
}

/// What `cirro audit -o json` did at a site where it has to find one of each of these codes, and nothing else.
pub fn only_is_found(audit: &Did, codes: &[&str]) {
    let found: Value = serde_json::from_str(&audit.out).unwrap_or_default();
    let found: Vec<_> = found["items"].as_array().into_iter().flatten().map(|item| item["code"].clone()).collect();
    let code = if codes.is_empty() { 0 } else { 7 };
    assert!(audit.code == code && found == codes, "the audit of the site has to find {codes:?}: {audit:#?}");
}

/// Logs the first administrator of a site in, as the folder of `cirro site init` says.
pub fn log_in(profile: &Path, url: &str, site: &Path) -> Did {
    let admin: Value = serde_json::from_slice(&fs::read(site.join("first-admin.json")).unwrap()).unwrap();
    let text = |field: &str| admin[field].as_str().unwrap();
    let mut login = cirro(profile);
    login.args(["login", "--url", url, "--user", text("name"), "--project", text("project"), "--password-stdin"]);
    login.arg("--ca-file").arg(site.join("authority/ca.pem")).stdin(Stdio::piped());
    let mut login = login.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // one that has ended already says why
    let _ = login.stdin.take().unwrap().write_all(text("password").as_bytes());
    Did::of(login.wait_with_output().unwrap())
}

/// A site at which commands are typed.
pub trait Typed {
    /// `cirro` with these words, until it ends.
    fn cirro(&self, words: &[&str]) -> Did;
    /// What a list holds, all pages of it.
    fn listed(&self, words: &[&str]) -> Vec<Value> {
        let words: Vec<&str> = words.iter().copied().chain(["--all", "-o", "json"]).collect();
        self.cirro(&words).json()["items"].as_array().unwrap().clone()
    }
}

/// Prints the last warnings and errors of the logs in a folder, for who looks at a test that has failed.
pub fn tell_logs(folder: &Path) {
    for log in fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = fs::read_to_string(log.path()).unwrap_or_default();
        let loud = text.lines().filter(|line| !line.contains("\"INFO\"")).rev().take(20).collect::<Vec<_>>();
        if loud.is_empty() {
            continue;
        }
        eprintln!("{}:\n{}", log.file_name().display(), loud.join("\n"));
    }
}

/// Where servers answer, unless the test has a network of its own.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A port that nobody uses now, from where no connection takes its own.
pub fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(10_000..20_000)).find(free).unwrap()
}
