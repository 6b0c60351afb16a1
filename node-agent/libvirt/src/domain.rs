//! A guest as libvirt's domain XML: written from a spec, read from what libvirt says.
//! <https://libvirt.org/formatdomain.html>

use crate::{mark, xml::Element};
use cirro_models::{
    Id,
    compute::{Node, assignment::InstanceSpec, node::Accelerator},
    images::machine_image::ImageFormat,
    storage::Volume,
};
use cirro_node_agent_core::{
    files::Files,
    guest::{GuestDisk, Mark},
};
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// The disk name of the root disk.
const ROOT_DEVICE: &str = "vda";
/// The disk names that volumes get; `vdz` is the config disk.
const VOLUME_DEVICES: std::ops::RangeInclusive<u8> = b'b'..=b'y';

/// Everything that a domain is made from.
pub struct Parts<'a> {
    /// What was asked for.
    pub spec: &'a InstanceSpec,
    /// Its mark.
    pub mark: &'a Mark,
    /// The node in the mark.
    pub node: Id<Node>,
    /// Where its files are.
    pub files: &'a Files,
    /// The image below its root disk.
    pub base: PathBuf,
    /// What executes it.
    pub accelerator: &'a Accelerator,
    /// Its place in the network, if there is one.
    pub port: Option<Port>,
}

/// A guest's place in the node's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// libvirt's name of the network.
    pub network: String,
    /// libvirt's name of the filter.
    pub filter: String,
    /// The card's own address.
    pub mac: String,
    /// The only address that may be used from it.
    pub address: Ipv4Addr,
}

/// The name of a guest's domain: readable, and unique although names are so only within a project.
pub fn name(mark: &Mark) -> String {
    let id = mark.id.uuid().simple().to_string();
    format!("{}-{}", mark.name, &id[20..])
}

/// The whole domain.
pub fn to_element(parts: &Parts<'_>) -> Element {
    let (kind, cpu) = match parts.accelerator {
        Accelerator::Kvm => ("kvm", Element::new("cpu").with("mode", "host-passthrough").with("migratable", "on")),
        _ => ("qemu", Element::new("cpu").with("mode", "maximum")),
    };
    let spec = parts.spec;
    Element::new("domain")
        .with("type", kind)
        .child(Element::new("name").text(name(parts.mark)))
        .child(Element::new("uuid").text(spec.id))
        .child(Element::new("title").text(&spec.name))
        .child(Element::new("metadata").child(mark::to_element(parts.mark, parts.node)))
        .child(Element::new("memory").with("unit", "MiB").text(spec.memory_mib.get()))
        .child(Element::new("vcpu").text(spec.vcpus.get()))
        .child(
            Element::new("os")
                .child(Element::new("type").with("arch", "x86_64").with("machine", "pc").text("hvm"))
                .child(Element::new("boot").with("dev", "hd")),
        )
        .child(Element::new("features").child(Element::new("acpi")).child(Element::new("apic")))
        .child(cpu)
        .child(Element::new("clock").with("offset", "utc"))
        .child(Element::new("on_poweroff").text("destroy"))
        .child(Element::new("on_reboot").text("restart"))
        .child(Element::new("on_crash").text("destroy"))
        .child(devices(parts))
}

/// A domain that is off as it is with the size of this spec, and this mark. Everything else stays, its volumes above all.
pub fn resized(domain: Element, spec: &InstanceSpec, mark: &Mark, node: Id<Node>) -> Element {
    let memory = |name: &str| Element::new(name).with("unit", "MiB").text(spec.memory_mib.get());
    marked(domain, mark, node)
        .having(memory("memory"))
        .having(memory("currentMemory"))
        .having(Element::new("vcpu").text(spec.vcpus.get()))
}

/// A domain that is off as it is with a root disk over this image, and this mark. The disk keeps its path and its place.
pub fn rebuilt(domain: Element, image: &ImageFormat, base: &Path, mark: &Mark, node: Id<Node>) -> Element {
    let is_root = |disk: &Element| disk.find(&["target"]).and_then(|target| target.get("dev")) == Some(ROOT_DEVICE);
    marked(domain, mark, node).with_each("devices", |devices| {
        devices.with_each("disk", |disk| if is_root(&disk) { disk.having(backing(image, base)) } else { disk })
    })
}

/// A domain with another mark.
fn marked(domain: Element, mark: &Mark, node: Id<Node>) -> Element {
    let metadata = domain.find(&["metadata"]).cloned().unwrap_or_else(|| Element::new("metadata"));
    domain.having(metadata.having(mark::to_element(mark, node)))
}

fn devices(parts: &Parts<'_>) -> Element {
    let id = parts.spec.id;
    let log = Element::new("source")
        .with("path", parts.files.console(id).display())
        .with("append", "on")
        // libvirt opens it; QEMU's user needs no right to it, and the agent goes on reading it.
        .child(not_relabelled());
    Element::new("devices")
        .child(root_disk(parts))
        .child(config_disk(&parts.files.config_disk(id)))
        .child(Element::new("controller").with("type", "usb").with("model", "none"))
        .children(parts.port.as_ref().map(interface))
        .child(Element::new("serial").with("type", "file").child(log).child(Element::new("target").with("port", "0")))
        .child(Element::new("memballoon").with("model", "virtio"))
        .child(
            Element::new("rng")
                .with("model", "virtio")
                .child(Element::new("backend").with("model", "random").text("/dev/urandom")),
        )
}

/// The image below a root disk.
fn backing(image: &ImageFormat, base: &Path) -> Element {
    let format = if *image == ImageFormat::Raw { "raw" } else { "qcow2" };
    Element::new("backingStore")
        .with("type", "file")
        .child(Element::new("format").with("type", format))
        // The cached image serves all guests: its owner and mode never change, and QEMU can't make it writable.
        .child(Element::new("source").with("file", base.display()).child(not_relabelled()))
        .child(Element::new("backingStore"))
}

fn root_disk(parts: &Parts<'_>) -> Element {
    Element::new("disk")
        .with("type", "file")
        .with("device", "disk")
        .child(driver("qcow2"))
        .child(Element::new("source").with("file", parts.files.root_disk(parts.spec.id).display()))
        .child(backing(&parts.spec.image.format, &parts.base))
        .child(target(ROOT_DEVICE))
}

fn config_disk(path: &Path) -> Element {
    Element::new("disk")
        .with("type", "file")
        .with("device", "disk")
        .child(Element::new("driver").with("name", "qemu").with("type", "raw"))
        .child(Element::new("source").with("file", path.display()))
        .child(target("vdz"))
        .child(Element::new("readonly"))
}

/// A volume's disk.
pub fn volume_disk(files: &Files, volume: Id<Volume>, device: &str) -> Element {
    let id = volume.uuid().simple().to_string();
    Element::new("disk")
        .with("type", "file")
        .with("device", "disk")
        .child(driver("qcow2"))
        .child(Element::new("source").with("file", files.volume(volume).display()))
        .child(target(device))
        // A virtio serial number has at most 20 bytes; these are the random ones.
        .child(Element::new("serial").text(&id[12..]))
}

fn driver(format: &str) -> Element {
    // A guest's flush is a flush: what it was told is written is on the disk.
    Element::new("driver").with("name", "qemu").with("type", format).with("cache", "writeback").with("discard", "unmap")
}

fn target(device: &str) -> Element {
    Element::new("target").with("dev", device).with("bus", "virtio")
}

fn not_relabelled() -> Element {
    Element::new("seclabel").with("model", "dac").with("relabel", "no")
}

fn interface(port: &Port) -> Element {
    let address = Element::new("parameter").with("name", "IP").with("value", port.address);
    Element::new("interface")
        .with("type", "network")
        .child(Element::new("mac").with("address", &port.mac))
        .child(Element::new("source").with("network", &port.network))
        .child(Element::new("model").with("type", "virtio"))
        .child(Element::new("filterref").with("filter", &port.filter).child(address))
        .child(Element::new("port").with("isolated", "yes"))
}

/// The volumes in a domain, by what it is now and what it will be after a restart (the same for one that is off).
pub fn volumes(now: &Element, kept: &Element, files: &Files) -> Vec<GuestDisk> {
    let in_domain = |domain: &Element| -> Vec<(Id<Volume>, String)> {
        let devices = domain.find(&["devices"]).into_iter().flat_map(|devices| devices.all("disk"));
        let known = devices.filter_map(|disk| {
            let path = disk.find(&["source"])?.get("file")?;
            let device = disk.find(&["target"])?.get("dev")?;
            Some((files.volume_at(Path::new(path))?, device.to_owned()))
        });
        known.collect()
    };
    let (live, stored) = (in_domain(now), in_domain(kept));
    let mut disks: Vec<GuestDisk> = Vec::new();
    for (volume_id, device) in live.iter().chain(&stored) {
        if disks.iter().all(|disk| disk.volume_id != *volume_id) {
            disks.push(GuestDisk {
                volume_id: *volume_id,
                device: device.clone(),
                kept: stored.iter().any(|(id, _)| id == volume_id),
                live: live.iter().any(|(id, _)| id == volume_id),
            });
        }
    }
    disks
}

/// A disk name that neither description of the domain uses.
pub fn free_device(now: &Element, kept: &Element) -> Option<String> {
    let used = |name: &str| {
        [now, kept].iter().filter_map(|domain| domain.find(&["devices"])).any(|devices| {
            devices.all("disk").any(|disk| disk.find(&["target"]).and_then(|target| target.get("dev")) == Some(name))
        })
    };
    VOLUME_DEVICES.map(|letter| format!("vd{}", char::from(letter))).find(|name| !used(name))
}
