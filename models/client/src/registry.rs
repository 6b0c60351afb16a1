//! Registry: where a process says that it is there, for as long as it is.
//!
//! The key `<prefix>/<instance id>` holds an [`Entry`] under a lease of a few seconds. Who stops renewing it, because it
//! died, hangs, or fails its own health check, disappears when the lease ends.

#[cfg(test)]
mod tests;

use crate::{
    address::Address,
    discovery::Place,
    etcd::{Etcd, Lease},
    tls::Tls,
};
use cirro_models::{
    Error, Result,
    alert::{Alert, Bell},
};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// What stands in the registry of one process. Readers believe nothing of it but that it may be parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `host:port`.
    pub address: String,
    /// The release that runs there.
    #[serde(default)]
    pub version: String,
}

impl Entry {
    /// Reads what stands at a key.
    pub(crate) fn read(value: &[u8]) -> Result<Self> {
        let refused = |error| Error::invalid("entry", format!("it is no JSON of an address ({error})"));
        serde_json::from_slice(value).map_err(refused)
    }
}

/// A process as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id: the key after the prefix.
    pub id: String,
    /// Where it is; checked to be an address and nothing else.
    pub entry: Entry,
}

/// What stands at one key, for an operator to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The key after the prefix; bytes that are no text are replaced.
    pub key: String,
    /// The process that it stands for, or why it is passed over.
    pub entry: std::result::Result<Entry, String>,
}

/// Whether this process can serve just now. One that takes longer than a third of the lease counts as "no".
pub type Check = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// One service's part of the registry.
#[derive(Clone)]
pub struct Registry {
    etcd: Etcd,
    prefix: String,
}

impl Registry {
    /// Opens `etcd://host:port,…/prefix`, or `etcds://…` with this TLS.
    pub fn open(url: &str, tls: Option<Tls>) -> Result<Self> {
        let place = url.parse::<Place>()?;
        let etcd = place.etcd(tls)?;
        match place {
            Place::Registry { prefix, .. } => Ok(Self { etcd, prefix }),
            Place::Fixed(_) | Place::Listed(_) => Err(Error::internal("a list of addresses is no registry")),
        }
    }
    /// Who is registered now. What is no address of a process is left out.
    pub async fn members(&self) -> Result<Vec<Member>> {
        let member = |found: Found| Some(Member { id: found.key, entry: found.entry.ok()? });
        Ok(self.everything().await?.into_iter().filter_map(member).collect())
    }
    /// Everything that stands there, also what is no process.
    pub async fn everything(&self) -> Result<Vec<Found>> {
        let start = format!("{}/", self.prefix);
        let listed = self.etcd.list(&start).await?;
        let found = |(key, value): (Vec<u8>, Vec<u8>)| {
            let key = String::from_utf8_lossy(&key);
            let key = key.strip_prefix(&start).unwrap_or(&key).to_owned();
            let entry = if is_id(&key) { read(&value) } else { Err("its key is no process's id".to_owned()) };
            Found { key, entry }
        };
        Ok(listed.entries.into_iter().map(found).collect())
    }
    /// Registers this process under its id, for as long as the answer is held and `check` says yes. The work is done by
    /// a task; this must be called inside a tokio runtime.
    pub fn register(&self, id: &str, entry: &Entry, params: RegistryParams, check: Check) -> Result<Registration> {
        Address::parse(&entry.address, false)?;
        if !is_id(id) {
            return Err(Error::invalid("id", format!("{id:?} is no instance id: use letters, digits, - and _")));
        }
        let key = format!("{}/{id}", self.prefix);
        let value = serde_json::to_vec(entry).map_err(Error::internal)?;
        let (stop, stopped) = watch::channel(());
        let bell = Bell::new(Alert::RegistryUnreachable);
        let registrar = Registrar { etcd: self.etcd.clone(), key, value, params, check, bell };
        Ok(Registration { task: tokio::spawn(registrar.run(stopped)), _stop: stop })
    }
}

/// The process that a value stands for, or why it stands for none.
fn read(value: &[u8]) -> std::result::Result<Entry, String> {
    let entry = Entry::read(value).map_err(|error| error.to_string())?;
    Address::parse(&entry.address, false).map(|_| entry).map_err(|error| error.to_string())
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// A process that is in the registry. Dropping it takes it out, too, without waiting for that.
pub struct Registration {
    _stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Registration {
    /// Leaves the registry, and waits until it is out (or the registry is away, and the lease's end will do it).
    pub async fn stop(self) {
        let Self { _stop: stop, task } = self;
        drop(stop);
        // it only fails if the task panicked, and then the lease's end takes the entry out
        let _ended = task.await;
    }
}

struct Registrar {
    etcd: Etcd,
    key: String,
    value: Vec<u8>,
    params: RegistryParams,
    check: Check,
    bell: Bell,
}

impl Registrar {
    async fn run(self, mut stopped: watch::Receiver<()>) {
        let mut lease = None;
        loop {
            self.step(&mut lease).await;
            tokio::select! {
                // the sender says nothing: it is dropped
                _ = stopped.changed() => break,
                () = sleep(self.beat()) => {}
            }
        }
        self.leave(&mut lease).await;
    }
    /// Three beats to a lease: two may be missed.
    fn beat(&self) -> Duration {
        Duration::from_secs(self.params.ttl_s) / 3
    }
    /// Brings the registry to what is true now.
    async fn step(&self, lease: &mut Option<Lease>) {
        if !timeout(self.beat(), (self.check)()).await.unwrap_or(false) {
            self.leave(lease).await;
            return;
        }
        if let Err(error) = self.keep(lease).await {
            self.bell.ring(|| format!("{error}; {} may drop out of it, and will be put back", self.key));
        }
    }
    async fn keep(&self, lease: &mut Option<Lease>) -> Result<()> {
        if let Some(held) = *lease
            && self.etcd.keep_alive(held).await?
        {
            return Ok(());
        }
        // none yet, or lost while etcd or this process was away
        let fresh = self.etcd.grant(self.params.ttl_s).await?;
        self.etcd.put(&self.key, &self.value, fresh).await?;
        *lease = Some(fresh);
        Ok(())
    }
    async fn leave(&self, lease: &mut Option<Lease>) {
        if let Some(held) = lease.take()
            && let Err(error) = self.etcd.revoke(held).await
        {
            tracing::debug!(%error, key = self.key, "the lease was not revoked; it ends by itself");
        }
    }
}

/// How a registration lasts.
#[derive(Debug, Clone)]
pub struct RegistryParams {
    /// Seconds after which a process that is not heard of disappears.
    pub ttl_s: u64,
}

impl Default for RegistryParams {
    fn default() -> Self {
        Self { ttl_s: 5 }
    }
}
