//! What tests of whole sites share: waiting, commands, signals, and the registry.

pub mod etcd;

use serde_json::Value;
use std::{
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine; what takes longer hangs.
pub const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// What the condition gives as soon as it gives something; stops the test when it never does.
pub fn until<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
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

/// A port that nobody uses now, from where no connection takes its own.
pub fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(10_000..20_000)).find(free).unwrap()
}
