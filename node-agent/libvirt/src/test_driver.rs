//! libvirt's own test driver as the agent's hypervisor: domains that are entries in libvirt's books, without processes, disks or
//! networks. It shows what an agent and a site do with a thousand of them. <https://libvirt.org/drvtest.html>
//!
//! `test:///default` lives in the agent's process and ends with it; `test+unix:///default` lives in libvirt's daemon, where
//! `virsh` sees it, too, for as long as anybody is connected.

use crate::{
    connection::Connection,
    domain,
    domains::{self, exists, mark_of, not_here, own, state_of, switch_off, switch_on},
    mark,
    xml::Element,
};
use async_trait::async_trait;
use cirro_models::{
    Id,
    compute::{Instance, Node, assignment::InstanceSpec, node::Accelerator},
    storage::{Volume, assignment::VolumeSpec},
};
use cirro_node_agent_core::{
    failure::{Failure, OrSay, Result},
    guest::{Guest, Mark},
    hypervisor::{Health, Hypervisor, Observed},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::sync::Notify;
use uuid::Uuid;
use virt::{connect::Connect, domain::Domain};
use virt_sys as sys;

/// Whether a URI is one of the test driver's.
pub fn is_meant_by(uri: &str) -> bool {
    let scheme = uri.split(':').next().unwrap_or_default();
    scheme.split('+').next() == Some("test")
}

/// See the module.
pub struct TestDriver {
    node: Id<Node>,
    connection: Arc<Connection>,
    marks: Arc<Marks>,
}

/// The marks of domains that were read, or nothing for those that are not this node's. Reading one costs libvirt more than all
/// else that is looked at, and only this agent changes them.
type Marks = Mutex<HashMap<Uuid, Option<Mark>>>;

impl TestDriver {
    /// The test driver at this URI; it is connected when it is first used.
    pub fn new(node: Id<Node>, uri: &str) -> Result<Self> {
        Ok(Self { node, connection: Arc::new(Connection::new(uri)?), marks: Arc::default() })
    }

    /// Does something after which the mark of an instance may be another one: to its end, whoever still waits for it.
    async fn change(&self, id: Id<Instance>, work: impl FnOnce(&Connect) -> Result<()> + Send + 'static) -> Result<()> {
        let marks = self.marks.clone();
        self.connection
            .with(move |libvirt| {
                let done = work(libvirt);
                marks.lock().remove(&id.uuid());
                done
            })
            .await
    }

    async fn with_own(
        &self,
        id: Id<Instance>,
        work: impl FnOnce(&Domain) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let node = self.node;
        self.connection.with(move |libvirt| work(&own(libvirt, id, node)?.ok_or_else(|| not_here(id))?)).await
    }
}

/// A domain without anything that would have to be prepared.
pub fn to_element(spec: &InstanceSpec, mark: &Mark, node: Id<Node>) -> Element {
    Element::new("domain")
        .with("type", "test")
        .child(Element::new("name").text(domain::name(mark)))
        .child(Element::new("uuid").text(spec.id))
        .child(Element::new("metadata").child(mark::to_element(mark, node)))
        .child(Element::new("memory").with("unit", "MiB").text(spec.memory_mib.get()))
        .child(Element::new("vcpu").text(spec.vcpus.get()))
        .child(Element::new("os").child(Element::new("type").text("hvm")))
}

/// This node's guest in a domain, if it is one.
fn guest(domain: &Domain, node: Id<Node>, marks: &mut HashMap<Uuid, Option<Mark>>) -> Result<Option<Guest>> {
    let id = domain.get_uuid().or_say(|| "libvirt can't say which domain one is")?;
    let mark = match marks.get(&id) {
        Some(known) => known.clone(),
        None => marks.entry(id).insert_entry(mark_of(domain, node)?).get().clone(),
    };
    let Some(mark) = mark else { return Ok(None) };
    Ok(Some(Guest { mark, state: state_of(domain)?, disks: Vec::new(), address: None }))
}

fn is_gone(libvirt: &Connect, domain: &Domain) -> bool {
    domain.get_uuid().is_ok_and(|id| !exists(libvirt, Id::from_uuid(id)).unwrap_or(true))
}

fn no_disks() -> Failure {
    Failure::new("libvirt's test driver has no disks: use volumes on a node that runs guests")
}

#[async_trait]
impl Hypervisor for TestDriver {
    async fn health(&self) -> Health {
        Health { accelerator: Accelerator::Simulated, message: None }
    }

    async fn observe(&self) -> Result<Arc<Observed>> {
        let (node, marks) = (self.node, self.marks.clone());
        self.connection
            .with(move |libvirt| {
                let mut marks = marks.lock();
                let (mut guests, mut there) = (Vec::new(), HashSet::new());
                for domain in libvirt.list_all_domains(0).or_say(|| "libvirt can't list its domains")? {
                    there.extend(domain.get_uuid().ok());
                    match guest(&domain, node, &mut marks) {
                        Ok(guest) => guests.extend(guest),
                        // it was removed after it was listed
                        Err(_) if is_gone(libvirt, &domain) => {}
                        Err(failure) => return Err(failure),
                    }
                }
                marks.retain(|id, _| there.contains(id));
                guests.sort_unstable_by_key(Guest::id);
                let files = guests.iter().map(Guest::id).collect();
                Ok(Arc::new(Observed { guests, files, ..Observed::default() }))
            })
            .await
    }

    async fn build(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        let (id, name, node, xml) = (spec.id, spec.name.clone(), self.node, to_element(spec, mark, self.node).write()?);
        self.connection
            .with(move |libvirt| {
                if own(libvirt, id, node)?.is_some() {
                    return Ok(());
                }
                Domain::define_xml(libvirt, &xml)
                    .map(drop)
                    .or_say(|| format!("libvirt refuses the definition of {name}"))
            })
            .await
    }

    async fn resize(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        let (spec, mark, node) = (spec.clone(), mark.clone(), self.node);
        self.change(spec.id, move |libvirt| domains::resize(libvirt, &spec, &mark, node)).await
    }

    async fn rebuild(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        let (mark, node) = (mark.clone(), self.node);
        // without a disk, a new one is only a new mark
        self.change(spec.id, move |libvirt| {
            let domain = own(libvirt, mark.id, node)?.ok_or_else(|| not_here(mark.id))?;
            switch_off(&domain)?;
            domains::note(&domain, &mark, node)
        })
        .await
    }

    async fn note(&self, mark: &Mark) -> Result<()> {
        let (mark, node) = (mark.clone(), self.node);
        self.change(mark.id, move |libvirt| {
            let domain = own(libvirt, mark.id, node)?.ok_or_else(|| not_here(mark.id))?;
            domains::note(&domain, &mark, node)
        })
        .await
    }

    async fn start(&self, id: Id<Instance>) -> Result<()> {
        self.with_own(id, switch_on).await
    }

    async fn shutdown(&self, id: Id<Instance>) -> Result<()> {
        self.with_own(id, |domain| {
            if !state_of(domain)?.is_on() {
                return Ok(());
            }
            domain.shutdown().map(drop).or_say(|| "libvirt could not shut the guest down")
        })
        .await
    }

    async fn kill(&self, id: Id<Instance>) -> Result<()> {
        self.with_own(id, switch_off).await
    }

    async fn remove(&self, id: Id<Instance>) -> Result<()> {
        let node = self.node;
        self.change(id, move |libvirt| {
            let Some(domain) = own(libvirt, id, node)? else { return Ok(()) };
            switch_off(&domain)?;
            let all = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
            domain.undefine_flags(all).or_say(|| "libvirt could not remove the guest's definition")
        })
        .await
    }

    async fn make_volume(&self, _: &VolumeSpec) -> Result<()> {
        Err(no_disks())
    }

    async fn remove_volume(&self, _: Id<Volume>) -> Result<()> {
        Ok(())
    }

    async fn attach(&self, _: Id<Instance>, _: Id<Volume>) -> Result<()> {
        Err(no_disks())
    }

    async fn detach(&self, _: Id<Instance>, _: Id<Volume>) -> Result<()> {
        Ok(())
    }

    async fn console_tail(&self, _: Id<Instance>, _: usize) -> Result<String> {
        Err(Failure::new("libvirt's test driver has no consoles: use a node that runs guests"))
    }

    fn changes(&self) -> Arc<Notify> {
        self.connection.changes()
    }
}
