//! What the system allows a process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More open files than ten thousand nodes need, each with a few connections.
const FILES: u64 = 262_144;

/// Each agent keeps a few connections, whose ends are files of processes: the usual limit of 1024 is far too low for them.
/// Only root may have more than what it was given. Answers how many there may be.
pub(crate) fn allow_many_connections() -> u64 {
    let given = getrlimit(Resource::Nofile);
    let more = |limit: Option<u64>| limit.map(|limit| limit.max(FILES));
    let most = Rlimit { current: more(given.maximum), maximum: more(given.maximum) };
    let set = setrlimit(Resource::Nofile, most);
    let set = set.or_else(|_| setrlimit(Resource::Nofile, Rlimit { current: given.maximum, ..given }));
    if let Err(error) = set {
        tracing::info!(%error, "the limit of open files stays as it is");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(FILES)
}
