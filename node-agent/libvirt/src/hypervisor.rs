//! libvirt as the agent's hypervisor.

use crate::{
    accelerator,
    access::QemuUser,
    config::Config,
    connection::Connection,
    domain::{self, Parts},
    domains::{self, descriptions, exists, mark_of, not_here, own, require_off, state_of, switch_off, switch_on},
    network::GuestNetwork,
};
use async_trait::async_trait;
use cirro_models::{
    Id,
    compute::{Instance, Node, assignment::InstanceSpec, node::Accelerator},
    storage::{Volume, assignment::VolumeSpec},
};
use cirro_node_agent_core::{
    config_disk, console,
    control_plane::ControlPlane,
    disks,
    failure::{Failure, OrSay, Result, off_thread},
    files::Files,
    guest::{Guest, Mark},
    hypervisor::{Health, Hypervisor, Observed},
    image_cache::ImageCache,
    room::Room,
};
use std::{fs, os::unix::fs::OpenOptionsExt, sync::Arc, time::Duration};
use tokio::sync::Notify;
use virt::domain::Domain;
use virt_sys as sys;

/// libvirt tells nobody when a guest gets its address: while one is awaited, look this often.
const ADDRESS_PACE: Duration = Duration::from_millis(500);

/// See the module.
pub struct Libvirt {
    node: Id<Node>,
    connection: Arc<Connection>,
    files: Files,
    images: ImageCache,
    room: Room,
    accelerator: Accelerator,
    network: Arc<GuestNetwork>,
    qemu: Option<QemuUser>,
}

impl Libvirt {
    /// Makes everything ready that guests need on this machine.
    pub async fn open(config: &Config, control_plane: Arc<dyn ControlPlane>) -> Result<Self> {
        let connection = Arc::new(Connection::new(&config.libvirt_uri)?);
        let files = Files::open(config.data_dir.clone(), config.pool())?;
        let room = Room { directory: files.data().to_owned(), reserve: config.disk_reserve_mib << 20 };
        let images = ImageCache::open(files.images(), control_plane, room.clone())?;
        let network = Arc::new(GuestNetwork::new(config.closed_addresses().await));
        let (ours, net) = (files.clone(), network.clone());
        let qemu = connection
            .with(move |libvirt| {
                let qemu = QemuUser::of(&libvirt.get_capabilities().or_say(|| "libvirt can't say what it can do")?)?;
                if let Some(user) = qemu {
                    user.require_way_to(ours.data(), ours.data())?;
                    user.require_way_to(ours.pool(), ours.data())?;
                    for directory in [ours.data(), &ours.images(), &ours.instances(), ours.pool()] {
                        user.let_through(directory)?;
                    }
                }
                net.keep(libvirt);
                Ok(qemu)
            })
            .await?;
        let accelerator = accelerator::decide(&connection, config).await?;
        Ok(Self { node: config.node_id, connection, files, images, room, accelerator, network, qemu })
    }

    async fn with_own<T: Send + 'static>(
        &self,
        id: Id<Instance>,
        work: impl FnOnce(&Domain) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let node = self.node;
        self.connection
            .with(move |libvirt| match own(libvirt, id, node)? {
                Some(domain) => work(&domain),
                None => Err(not_here(id)),
            })
            .await
    }
}

fn guest(domain: &Domain, mark: Mark, files: &Files) -> Result<Guest> {
    let state = state_of(domain)?;
    let (now, kept) = descriptions(domain)?;
    let mut address = None;
    if state.is_on() {
        // No lease is no error; a guest without a network has no answer at all.
        let cards = domain.interface_addresses(sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, 0).unwrap_or_default();
        address = cards.into_iter().flat_map(|card| card.addrs).map(|address| address.addr).next();
        console::bound(&files.console(mark.id))?;
    }
    Ok(Guest { disks: domain::volumes(&now, &kept, files), state, address, mark })
}

#[async_trait]
impl Hypervisor for Libvirt {
    async fn health(&self) -> Health {
        Health { accelerator: self.accelerator.clone(), message: self.network.trouble() }
    }

    async fn observe(&self) -> Result<Arc<Observed>> {
        let (files, node, network) = (self.files.clone(), self.node, self.network.clone());
        let observed = self.connection.with(move |libvirt| {
            network.keep(libvirt);
            // Files first: a guest that is removed meanwhile is then seen in part, never forgotten.
            let mut observed =
                Observed { guests: Vec::new(), files: files.all_instances()?, volumes: files.all_volumes()? };
            for domain in libvirt.list_all_domains(0).or_say(|| "libvirt can't list its domains")? {
                let Some(mark) = mark_of(&domain, node)? else { continue };
                let id = mark.id;
                match guest(&domain, mark, &files) {
                    Ok(guest) => observed.guests.push(guest),
                    // It was removed after it was listed.
                    Err(_) if !exists(libvirt, id)? => {}
                    Err(failure) => return Err(failure),
                }
            }
            observed.guests.sort_unstable_by_key(Guest::id);
            Ok(observed)
        });
        let observed = observed.await?;
        let awaited = observed.guests.iter().any(|guest| guest.state.is_on() && guest.address.is_none());
        if awaited && self.network.trouble().is_none() {
            let changes = self.changes();
            tokio::spawn(async move {
                tokio::time::sleep(ADDRESS_PACE).await;
                changes.notify_one();
            });
        }
        Ok(Arc::new(observed))
    }

    async fn build(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        let id = spec.id;
        self.room.require(0, &format!("instance {}", spec.name))?;
        let base = self.images.path(&spec.image).await?;
        let (files, qemu, content) = (self.files.clone(), self.qemu, spec.clone());
        off_thread(move || {
            let directory = files.make_instance(id)?;
            if let Some(user) = qemu {
                user.let_through(&directory)?;
            }
            let console = files.console(id);
            fs::OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&console)
                .or_say(|| format!("can't make the console file {}", console.display()))?;
            config_disk::write(&content, &files.config_disk(id))
        })
        .await?;
        disks::make_overlay(&self.files.root_disk(id), &base, &spec.image.format, spec.disk_gib).await?;
        let (spec, mark, files) = (spec.clone(), mark.clone(), self.files.clone());
        let (node, accelerator, network) = (self.node, self.accelerator.clone(), self.network.clone());
        self.connection
            .with(move |libvirt| {
                if own(libvirt, id, node)?.is_some() {
                    return Ok(());
                }
                network.place(libvirt, id, |port| {
                    let accelerator = &accelerator;
                    let parts = Parts { spec: &spec, mark: &mark, node, files: &files, base, accelerator, port };
                    let xml = domain::to_element(&parts).write()?;
                    let defined = Domain::define_xml(libvirt, &xml);
                    defined.map(|_| ()).or_say(|| format!("libvirt refuses the definition of {}", spec.name))
                })
            })
            .await
    }

    async fn resize(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        // while it is off nobody but this agent starts it, and that does one thing to it at a time
        self.with_own(spec.id, require_off).await?;
        disks::grow(&self.files.root_disk(spec.id), spec.disk_gib).await?;
        let (spec, mark, node) = (spec.clone(), mark.clone(), self.node);
        self.connection.with(move |libvirt| domains::resize(libvirt, &spec, &mark, node)).await
    }

    async fn rebuild(&self, spec: &InstanceSpec, mark: &Mark) -> Result<()> {
        self.room.require(0, &format!("a new root disk of instance {}", spec.name))?;
        let base = self.images.path(&spec.image).await?;
        let path = self.files.root_disk(spec.id);
        // complete before the old one goes: what can't be made costs nothing
        let fresh = disks::fresh_overlay(&path, &base, &spec.image.format, spec.disk_gib).await?;
        let (spec, mark, node, config) = (spec.clone(), mark.clone(), self.node, self.files.config_disk(spec.id));
        self.connection
            .with(move |libvirt| {
                let domain = own(libvirt, spec.id, node)?.ok_or_else(|| not_here(spec.id))?;
                switch_off(&domain)?;
                config_disk::write(&spec, &config)?;
                fs::rename(&fresh, &path).or_say(|| format!("can't put a new root disk at {}", path.display()))?;
                let xml = domain::rebuilt(descriptions(&domain)?.1, &spec.image.format, &base, &mark, node).write()?;
                let defined = Domain::define_xml(libvirt, &xml);
                defined.map(drop).or_say(|| format!("libvirt refuses the new root disk of {}", spec.name))
            })
            .await
    }

    async fn note(&self, mark: &Mark) -> Result<()> {
        let (mark, node) = (mark.clone(), self.node);
        self.with_own(mark.id, move |domain| domains::note(domain, &mark, node)).await
    }

    async fn start(&self, id: Id<Instance>) -> Result<()> {
        self.with_own(id, switch_on).await
    }

    async fn shutdown(&self, id: Id<Instance>) -> Result<()> {
        self.with_own(id, |domain| {
            if !state_of(domain)?.is_on() {
                return Ok(());
            }
            let asked = domain.shutdown_flags(sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN);
            asked.map(|_| ()).or_say(|| "libvirt could not press the guest's power button")
        })
        .await
    }

    async fn kill(&self, id: Id<Instance>) -> Result<()> {
        self.with_own(id, switch_off).await
    }

    async fn remove(&self, id: Id<Instance>) -> Result<()> {
        let (node, files) = (self.node, self.files.clone());
        self.connection
            .with(move |libvirt| {
                if let Some(domain) = own(libvirt, id, node)? {
                    switch_off(&domain)?;
                    let all = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                        | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                        | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
                        | sys::VIR_DOMAIN_UNDEFINE_NVRAM;
                    domain.undefine_flags(all).or_say(|| "libvirt could not remove the guest's definition")?;
                }
                files.remove_instance(id)
            })
            .await
    }

    async fn make_volume(&self, spec: &VolumeSpec) -> Result<()> {
        let room = Room { directory: self.files.pool().to_owned(), ..self.room.clone() };
        room.require(0, &format!("volume {}", spec.id))?;
        disks::make_volume(&self.files.volume(spec.id), spec.size_gib).await
    }

    async fn remove_volume(&self, id: Id<Volume>) -> Result<()> {
        let files = self.files.clone();
        off_thread(move || files.remove_volume(id)).await
    }

    async fn attach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()> {
        let files = self.files.clone();
        self.with_own(id, move |domain| {
            let on = state_of(domain)?.is_on();
            let (now, kept) = descriptions(domain)?;
            let known = domain::volumes(&now, &kept, &files).into_iter().find(|disk| disk.volume_id == volume);
            let (has_live, has_kept) = known.as_ref().map_or((false, false), |disk| (disk.live, disk.kept));
            let flags = missing(on && !has_live, !has_kept);
            let device = known.map(|disk| disk.device).or_else(|| domain::free_device(&now, &kept));
            let device =
                device.ok_or_else(|| Failure::new("the guest has no room for another disk: detach one first"))?;
            if flags == 0 {
                return Ok(());
            }
            let xml = domain::volume_disk(&files, volume, &device).write()?;
            let done = domain.attach_device_flags(&xml, flags);
            done.map(|_| ()).or_say(|| format!("libvirt could not give the guest the volume {volume}"))
        })
        .await
    }

    async fn detach(&self, id: Id<Instance>, volume: Id<Volume>) -> Result<()> {
        let files = self.files.clone();
        self.with_own(id, move |domain| {
            let on = state_of(domain)?.is_on();
            let (now, kept) = descriptions(domain)?;
            let known = domain::volumes(&now, &kept, &files).into_iter().find(|disk| disk.volume_id == volume);
            let Some(disk) = known else { return Ok(()) };
            let xml = domain::volume_disk(&files, volume, &disk.device).write()?;
            let done = domain.detach_device_flags(&xml, missing(on && disk.live, disk.kept));
            done.or_say(|| format!("libvirt could not take the volume {volume} from the guest"))?;
            let (now, kept) = descriptions(domain)?;
            if domain::volumes(&now, &kept, &files).iter().any(|disk| disk.volume_id == volume) {
                return Err(Failure::new(
                    "the guest has not let the disk go yet: unmount it inside; it is asked again",
                ));
            }
            Ok(())
        })
        .await
    }

    async fn console_tail(&self, id: Id<Instance>, max_bytes: usize) -> Result<String> {
        let path = self.files.console(id);
        off_thread(move || console::tail(&path, max_bytes)).await
    }

    fn changes(&self) -> Arc<Notify> {
        self.connection.changes()
    }
}

/// libvirt's flags for what has to change: the guest as it runs, and as it will be after a restart.
fn missing(live: bool, kept: bool) -> u32 {
    (if live { sys::VIR_DOMAIN_AFFECT_LIVE } else { 0 }) | (if kept { sys::VIR_DOMAIN_AFFECT_CONFIG } else { 0 })
}
