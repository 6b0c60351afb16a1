//! The process of a site.

pub use crate::common::{Did, LIMIT, signal, until};
use std::{
    fs,
    path::PathBuf,
    process::{Child, ExitStatus},
};

/// A `cirro up` that was started: it is killed when this is dropped.
pub struct Up {
    child: Child,
    pub out: PathBuf,
    pub log: PathBuf,
}
impl Up {
    pub fn new(child: Child, out: PathBuf, log: PathBuf) -> Self {
        Self { child, out, log }
    }
    pub fn id(&self) -> u32 {
        self.child.id()
    }
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
    /// Ended, by itself or by a signal that was sent.
    pub fn ended(&mut self) -> ExitStatus {
        until(LIMIT, "cirro up ends", || self.child.try_wait().unwrap())
    }
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
    /// Told to end, as by Ctrl-C or a service manager.
    pub fn terminate(&mut self) -> ExitStatus {
        signal("TERM", self.id());
        self.ended()
    }
    /// Its address, as soon as it says it; stops the test with its log when it ends instead.
    pub fn address(&mut self) -> String {
        until(LIMIT, "the site answers", || {
            let told = fs::read_to_string(&self.out).unwrap();
            let rest = told.split_once("the site answers at http://").map(|(_, rest)| rest.to_owned());
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "cirro up has ended: {}", fs::read_to_string(&self.log).unwrap());
            // a line that is not complete yet is read again
            rest.filter(|rest| rest.contains('\n')).map(|rest| rest.split(' ').next().unwrap().to_owned())
        })
    }
    pub fn did(mut self) -> Did {
        let code = self.ended().code().unwrap_or(-1);
        Did { code, out: fs::read_to_string(&self.out).unwrap(), err: fs::read_to_string(&self.log).unwrap() }
    }
}
impl Drop for Up {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
