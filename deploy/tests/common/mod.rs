//! What tests of whole sites share: waiting, commands, signals.

use serde_json::Value;
use std::{
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
