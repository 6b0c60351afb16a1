//! The agent's configuration: one JSON file that only its owner may read, because it may hold the node's credential.
//! `cirro-node-agent join` writes one:
//!
//! ```json
//! {
//!   "url": "https://bus.example:7444",
//!   "node_id": "0192…",
//!   "credential_dir": "/var/lib/cirro-node/credential",
//!   "data_dir": "/var/lib/cirro-node"
//! }
//! ```

use cirro_models::{Id, compute::Node};
use cirro_node_agent_core::failure::{Failure, OrSay, Result};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Which accelerator guests get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceleratorChoice {
    /// What a trial says, once for each machine.
    #[default]
    Auto,
    /// The processor's virtualisation, tried or not.
    Kvm,
    /// Emulation.
    Tcg,
}

/// See the module.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the control plane is: see [`cirro_node_agent_core::http::place`].
    pub url: String,
    /// This node's id.
    pub node_id: Id<Node>,
    /// The node's credential.
    #[serde(default)]
    pub credential: Option<String>,
    /// The file with the node's credential, instead.
    #[serde(default)]
    pub credential_file: Option<PathBuf>,
    /// The folder with the node's certificate and key, instead: for a control plane of several processes.
    #[serde(default)]
    pub credential_dir: Option<PathBuf>,
    /// Where images and guests are kept.
    pub data_dir: PathBuf,
    /// Where volumes are kept: `volumes` in the data directory, if nothing is said.
    #[serde(default)]
    pub pool_dir: Option<PathBuf>,
    /// Which libvirt.
    #[serde(default = "system_uri")]
    pub libvirt_uri: String,
    /// What executes guests.
    #[serde(default)]
    pub accelerator: AcceleratorChoice,
    /// A Linux kernel to try the accelerator with; those in `/boot` are found by themselves.
    #[serde(default)]
    pub probe_kernel: Option<PathBuf>,
    /// Disk room that is never given to guests.
    #[serde(default = "one_gib_in_mib")]
    pub disk_reserve_mib: u64,
    /// How many things are done at a time.
    #[serde(default = "four")]
    pub concurrency: usize,
}

fn system_uri() -> String {
    "qemu:///system".to_owned()
}
fn one_gib_in_mib() -> u64 {
    1024
}
fn four() -> usize {
    4
}

impl Config {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> Result<Self> {
        let meta = fs::metadata(path)
            .or_say(|| format!("can't read the configuration {}: give its path with --config", path.display()))?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(Failure::new(format!(
                "the configuration {} can be read by others and may hold a credential: chmod 600 {}",
                path.display(),
                path.display()
            )));
        }
        let text = fs::read_to_string(path).or_say(|| format!("can't read the configuration {}", path.display()))?;
        let config: Self = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("the configuration {} is not usable: {error}", path.display())))?;
        for (name, directory) in [("data_dir", &config.data_dir), ("pool_dir", &config.pool())] {
            if !directory.is_absolute() {
                return Err(Failure::new(format!("{name} in {} must be an absolute path", path.display())));
            }
        }
        Ok(config)
    }

    /// Where volumes are kept.
    pub fn pool(&self) -> PathBuf {
        self.pool_dir.clone().unwrap_or_else(|| self.data_dir.join("volumes"))
    }

    /// The node's credential, where it has no certificate.
    pub fn credential(&self) -> Result<String> {
        match (&self.credential, &self.credential_file) {
            (Some(credential), None) => Ok(credential.clone()),
            (None, Some(path)) => fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .or_say(|| format!("can't read the credential in {}", path.display())),
            _ => Err(Failure::new("the configuration needs one of credential_dir, credential and credential_file")),
        }
    }

    /// The control plane's addresses: guests must not reach them.
    pub async fn closed_addresses(&self) -> BTreeSet<Ipv4Addr> {
        let mut found = Vec::new();
        for url in self.url.split(',') {
            let authority = url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or_default().trim();
            let with_port = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:443") };
            // A name that can't be resolved now can't be reached now either; the agent would not work without it.
            found.extend(tokio::net::lookup_host(with_port).await.into_iter().flatten());
        }
        let v4 = found.into_iter().filter_map(|address| match address.ip() {
            IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(address),
            _ => None,
        });
        v4.collect()
    }
}
