//! Following a registry: everything once, then every change. What was known last stays in use while etcd is away.

use super::Address;
use crate::{
    etcd::{Etcd, Event, Watched},
    registry::Entry,
};
use cirro_models::{
    Result,
    alert::{Alert, Bell},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::watch::Sender,
    time::{sleep, timeout},
};

/// A watch that is silent for so long is begun anew: its connection may have died without a word.
const SILENCE: Duration = Duration::from_secs(30);
/// The wait after the first failure, and the longest one.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

struct Follower {
    etcd: Etcd,
    /// With a slash at its end, so that `compute2` is not taken for a part of `compute`.
    prefix: String,
    tls: bool,
    sender: Sender<Arc<[Address]>>,
    failures: u32,
    unreachable: Bell,
    invalid: Bell,
}

/// Tells the sender who is registered, until nobody listens any more.
pub(super) async fn follow(etcd: Etcd, prefix: String, tls: bool, sender: Sender<Arc<[Address]>>) {
    let gone = sender.clone();
    let (unreachable, invalid) = (Bell::new(Alert::RegistryUnreachable), Bell::new(Alert::RegistryEntryInvalid));
    let mut follower = Follower { etcd, prefix: format!("{prefix}/"), tls, sender, failures: 0, unreachable, invalid };
    tokio::select! {
        () = gone.closed() => {}
        () = follower.run() => {}
    }
}

impl Follower {
    async fn run(&mut self) {
        loop {
            if let Err(error) = self.session().await {
                self.unreachable.ring(|| {
                    let count = self.sender.borrow().len();
                    format!("{error}; going on with the {count} endpoints of {} that are known", self.prefix)
                });
                let wait = BACKOFF.0 * 2u32.saturating_pow(self.failures).min(1024);
                self.failures = self.failures.saturating_add(1);
                sleep(wait.min(BACKOFF.1).mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            }
        }
    }
    /// Reads everything and follows from there, until the watch ends.
    async fn session(&mut self) -> Result<()> {
        let listed = self.etcd.list(&self.prefix).await?;
        self.failures = 0;
        let mut known = BTreeMap::new();
        for (key, value) in listed.entries {
            self.apply(&mut known, Event { key, value: Some(value) });
        }
        self.tell(&known);
        let mut watch = self.etcd.watch(&self.prefix, listed.revision + 1).await?;
        loop {
            match timeout(SILENCE, watch.next()).await {
                Ok(next) => match next? {
                    Watched::Events(events) => {
                        events.into_iter().for_each(|event| self.apply(&mut known, event));
                        self.tell(&known);
                    }
                    // the history that we asked for is compacted: read everything again
                    Watched::Compacted => return Ok(()),
                },
                Err(_) => return Ok(()),
            }
        }
    }
    fn apply(&self, known: &mut BTreeMap<Vec<u8>, Address>, event: Event) {
        let Some(value) = event.value else {
            known.remove(&event.key);
            return;
        };
        match Entry::read(&value).and_then(|entry| Address::parse(&entry.address, self.tls)) {
            Ok(address) if known.len() < super::MOST || known.contains_key(&event.key) => {
                known.insert(event.key, address);
            }
            Ok(_) => self.invalid.ring(|| {
                format!("more than {} processes stand at {}: the others are passed over", super::MOST, self.prefix)
            }),
            Err(error) => {
                known.remove(&event.key);
                self.invalid.ring(|| {
                    let key = event.key.escape_ascii();
                    format!("what stands in the registry at {key} is passed over ({error}): remove it")
                });
            }
        }
    }
    /// An empty registry is one that has lost its data, or a site that is going down: in both cases the last known
    /// endpoints are the better guess, and a wrong one is only refused a connection.
    fn tell(&self, known: &BTreeMap<Vec<u8>, Address>) {
        let mut fresh: Vec<_> = known.values().cloned().collect();
        fresh.sort_unstable();
        fresh.dedup();
        self.sender.send_if_modified(|held| {
            let changes = !fresh.is_empty() && **held != *fresh;
            if changes {
                *held = fresh.into();
            }
            changes
        });
    }
}
