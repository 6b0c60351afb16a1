//! `cirro node join-token` and `cirro node revoke`: who becomes a node, and who is one no longer.

use crate::{failure::Failure, nouns::project::vcpus, out, quantity, resolve, site::Said, site::Site, verbs::Key};
use cirro_models::{
    Error, GiB, Labels, MiB, Name, Timestamp, Vcpus, Verbs,
    compute::Node,
    identity::{JoinToken, Revocation, join_token::NewJoinToken, revocation::NewRevocation},
};
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// What the node is to be called [default: what the machine calls itself]
    name: Option<Name>,
    /// A node that there is already: its machine gets a new certificate, such as after `cirro node revoke`
    #[arg(long, value_name = "NAME|ID", conflicts_with_all = ["name", "vcpus", "memory", "disk"])]
    node: Option<String>,
    /// The most virtual processors for guests that it may bring [default: what it has]
    #[arg(long, value_name = "N", value_parser = vcpus)]
    vcpus: Option<Vcpus>,
    /// The most memory for guests, such as 64GiB [default: what it has]
    #[arg(long, value_name = "SIZE", value_parser = quantity::memory)]
    memory: Option<MiB>,
    /// The most disk for guests, such as 1TiB [default: what it has]
    #[arg(long, value_name = "SIZE", value_parser = quantity::disk)]
    disk: Option<GiB>,
    /// How long it is good, at most a day: 30m, 1h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::duration)]
    ttl: Duration,
    #[command(flatten)]
    key: Key,
}

impl Join {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let new = &NewJoinToken {
            name: self.name,
            node_id: resolve::maybe::<Node>(site, self.node.as_ref()).await?,
            vcpus: self.vcpus,
            memory_mib: self.memory,
            disk_gib: self.disk,
            expires_at: Some(Timestamp::now().plus_seconds(i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX))),
            labels: Labels::default(),
        };
        let key = self.key.get();
        let Said { value, json } =
            site.call(Some(&key), |ctx| async move { JoinToken::create(&ctx, new.clone()).await }).await?;
        if site.is_json() {
            return out::json(&json);
        }
        let secret = value.once.get("secret").ok_or_else(|| Error::internal("a join token without its secret"))?;
        out::text(secret.expose())?;
        out::note(&format!(
            "This is the only time that the join token is shown. It is good until {}, for one machine. There, type\n  \
             cirro-node-agent join --url https://HOST:PORT\nwith the address at which the site's bus takes nodes, and \
             give the token on its standard input.",
            value.model.expires_at
        ));
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The node, by name or id
    #[arg(value_name = "NAME|ID")]
    node: String,
    #[command(flatten)]
    key: Key,
}

impl Revoke {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let id = resolve::id::<Node>(site, &self.node).await?;
        let new = &NewRevocation { subject: format!("node:{id}"), labels: Labels::default() };
        let key = self.key.get();
        let said = site.call(Some(&key), |ctx| async move { Revocation::create(&ctx, new.clone()).await }).await?;
        out::note(&format!(
            "Whatever node {} has shown so far to prove itself is refused from now on; its guests run on. To let its \
             machine back in: cirro node join-token --node {}",
            self.node, self.node
        ));
        if site.is_json() { out::json(&said.json) } else { Ok(()) }
    }
}
