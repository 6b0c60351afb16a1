//! Decides between KVM and TCG by trying. That `/dev/kvm` is there and opens proves nothing, nor does a boot sector that runs: on
//! some nested machines a Linux kernel never gets past its decompressor under KVM. So a kernel is really booted, and has to speak
//! within seconds. Where there is none to try with, nothing is proven.

use crate::{
    access::QemuUser,
    config::{AcceleratorChoice, Config},
    connection::Connection,
    xml::Element,
};
use cirro_models::compute::node::Accelerator;
use cirro_node_agent_core::failure::{OrSay, Result, off_thread};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;
use virt::domain::Domain;
use virt_sys as sys;

/// A kernel speaks after 0.3 s under KVM; a machine so slow that it takes longer than this is no better than TCG.
const LIMIT: Duration = Duration::from_secs(10);

/// What a trial has shown, kept in the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    kvm: bool,
    tried_with: String,
    /// The machine's boot: another kernel or host is tried anew.
    boot: String,
}

/// What guests are executed by on this machine.
pub async fn decide(libvirt: &Arc<Connection>, config: &Config) -> Result<Accelerator> {
    match config.accelerator {
        AcceleratorChoice::Kvm => return Ok(Accelerator::Kvm),
        AcceleratorChoice::Tcg => return Ok(Accelerator::Tcg),
        AcceleratorChoice::Auto => {}
    }
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accelerator::Tcg);
    }
    let kept = config.data_dir.join("accelerator.json");
    let Some(kernel) = config.probe_kernel.clone().or_else(newest_kernel) else {
        tracing::info!(
            "there is no Linux kernel in /boot to try KVM with, so guests are emulated, which is ten times slower: name a kernel as \
             probe_kernel in the agent's configuration, or say there that accelerator is kvm"
        );
        return Ok(Accelerator::Tcg);
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let tried_with = kernel.display().to_string();
    let known = fs::read(&kept).ok().and_then(|text| serde_json::from_slice::<Verdict>(&text).ok());
    let known = known.filter(|verdict| verdict.boot == boot && verdict.tried_with == tried_with);
    let verdict = if let Some(verdict) = known {
        verdict
    } else {
        let verdict = Verdict { kvm: boots(libvirt, &config.data_dir, kernel).await?, tried_with, boot };
        let text = serde_json::to_vec(&verdict).or_say(|| "the accelerator's verdict can't be written")?;
        fs::write(&kept, text).or_say(|| format!("can't write {}", kept.display()))?;
        verdict
    };
    tracing::info!(kvm = verdict.kvm, tried_with = verdict.tried_with, "the accelerator is decided");
    Ok(if verdict.kvm { Accelerator::Kvm } else { Accelerator::Tcg })
}

fn newest_kernel() -> Option<PathBuf> {
    let kernels = fs::read_dir("/boot").ok()?.flatten().map(|entry| entry.path());
    kernels.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))).max()
}

/// Whether this kernel, booted under KVM, says a word in time.
async fn boots(libvirt: &Arc<Connection>, data: &Path, kernel: PathBuf) -> Result<bool> {
    let directory = data.join("probe");
    let place = directory.clone();
    let spoke = libvirt.with(move |libvirt| {
        let qemu = QemuUser::of(&libvirt.get_capabilities().or_say(|| "libvirt can't say what it can do")?)?;
        fs::create_dir_all(&place).or_say(|| format!("can't make {}", place.display()))?;
        if let Some(user) = qemu {
            user.let_through(&place)?;
        }
        let log = place.join("console.log");
        fs::write(&log, []).or_say(|| format!("can't write {}", log.display()))?;
        let xml = machine(&place, &kernel, &log)?.write()?;
        let started = Domain::create_xml(libvirt, &xml, sys::VIR_DOMAIN_START_AUTODESTROY);
        let domain = match started {
            Ok(domain) => domain,
            Err(error) => {
                tracing::info!(%error, "nothing can be started under KVM here");
                return Ok(false);
            }
        };
        // A kernel's set-up code speaks before the decompressor, which is where broken machines stop.
        let word = b"Linux version";
        let end = Instant::now() + LIMIT;
        let mut spoke = false;
        while !spoke && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
            spoke = fs::read(&log).is_ok_and(|said| said.windows(word.len()).any(|part| part == word));
        }
        domain.destroy().or_say(|| "the trial machine can't be ended")?;
        Ok(spoke)
    });
    let spoke = spoke.await?;
    off_thread(move || fs::remove_dir_all(&directory).or_say(|| format!("can't remove {}", directory.display())))
        .await?;
    Ok(spoke)
}

/// The smallest machine that can boot the kernel.
fn machine(place: &Path, kernel: &Path, log: &Path) -> Result<Element> {
    // libvirt gives files to QEMU's user, so it gets a copy
    let copy = place.join("kernel");
    fs::copy(kernel, &copy).or_say(|| format!("can't copy the kernel {}", kernel.display()))?;
    let os = Element::new("os")
        .child(Element::new("type").with("arch", "x86_64").with("machine", "pc").text("hvm"))
        .child(Element::new("kernel").text(copy.display()))
        .child(Element::new("cmdline").text("earlyprintk=serial,ttyS0,115200 console=ttyS0 panic=-1"));
    let devices = Element::new("devices").child(Element::new("controller").with("type", "usb").with("model", "none"));
    let serial = Element::new("serial")
        .with("type", "file")
        .child(Element::new("source").with("path", log.display()).with("append", "on"));
    Ok(Element::new("domain")
        .with("type", "kvm")
        .child(Element::new("name").text(format!("cirro-probe-{}", Uuid::now_v7().simple())))
        .child(Element::new("memory").with("unit", "MiB").text(96))
        .child(Element::new("vcpu").text(1))
        .child(os)
        .child(Element::new("features").child(Element::new("acpi")).child(Element::new("apic")))
        .child(Element::new("cpu").with("mode", "host-passthrough"))
        .child(Element::new("on_poweroff").text("destroy"))
        .child(Element::new("on_reboot").text("destroy"))
        .child(devices.child(serial)))
}
