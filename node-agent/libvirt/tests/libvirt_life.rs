//! One guest's life on a real libvirt: it boots, gets an address and disks, survives accidents, obeys, and goes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    GiB, Id, MiB, Vcpus,
    compute::{
        Instance,
        instance::{InstanceStatus, Power},
        instance_action::ActionKind,
        report::InstanceSeen,
    },
    storage::{
        assignment::{AttachmentSpec, VolumeSpec},
        attachment::AttachmentStatus,
    },
};
use kit::{BOOT, Bench, SOON};
use std::{process::Command, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_boots_obeys_survives_and_goes() {
    let mut bench = Bench::new().await;
    let foreign = Foreign::start(&bench);
    let spec = bench.spec("web1");
    let id = spec.id;
    bench.desk.order(spec);
    bench.running(id).await;
    let seen = bench.seen(id, "an address", BOOT, |seen| seen.address.is_some()).await;
    let text = bench.console(id, "web1 is up", BOOT).await;
    assert!(text.contains("1 ssh keys stored"), "the guest has read its config disk:\n{text}");
    assert!(text.contains(&seen.address.unwrap()), "the address is the one that the guest has got:\n{text}");

    a_volume_comes_and_goes(&bench, id).await;
    an_accident_is_repaired(&bench, id).await;
    a_killed_agent_is_not_missed(&mut bench, id).await;
    a_reboot_happens_once(&mut bench, id).await;
    a_new_root_disk_is_booted_once(&mut bench, id).await;

    bench.desk.wish(id, Power::Stopped, false);
    bench
        .seen(id, "it is stopped", SOON, |seen| seen.status == InstanceStatus::Stopped && !seen.powered_off_itself)
        .await;
    assert_eq!(bench.virsh(&["domstate", &id.to_string()]).trim(), "shut off");
    another_size_is_had_once_it_is_off(&bench, id).await;
    bench.desk.wish(id, Power::Running, false);
    bench.running(id).await;
    foreign.is_untouched(&bench);
    bench.bury(&[id]).await;
    foreign.is_untouched(&bench);
    assert_eq!(bench.desk.with(|papers| papers.fetches), 1, "the image has crossed once");
}

async fn a_volume_comes_and_goes(bench: &Bench, instance_id: Id<Instance>) {
    let volume = VolumeSpec { id: Id::new(), size_gib: GiB::new(1) };
    let attachment = AttachmentSpec { id: Id::new(), volume_id: volume.id, instance_id, detach: false };
    bench.desk.with(|papers| {
        papers.volumes.push(volume.clone());
        papers.attachments.push(attachment.clone());
    });
    let attached =
        bench.desk.wait("the volume is attached", SOON, |papers| papers.attachments_seen.get(&attachment.id).cloned());
    let attached = attached.await.unwrap();
    assert_eq!(
        (attached.status, attached.device.as_deref()),
        (AttachmentStatus::Attached, Some("vdb")),
        "{:?}",
        attached.reason
    );
    bench.console(instance_id, "appeared, 1024 MiB", SOON).await;

    bench.desk.with(|papers| papers.attachments[0].detach = true);
    let detached =
        bench.desk.wait("the volume is detached", SOON, |papers| papers.attachments.is_empty().then_some(()));
    detached.await.unwrap();
    bench.console(instance_id, "went away", SOON).await;
    assert!(bench.config.pool().join(format!("{}.qcow2", volume.id)).exists(), "the volume outlives its attachment");

    bench.desk.with(|papers| {
        papers.volumes.clear();
        papers.volume_tombstones.push(volume.id);
    });
    bench
        .desk
        .wait("the volume is gone", SOON, |papers| papers.volume_tombstones.is_empty().then_some(()))
        .await
        .unwrap();
    assert!(!bench.config.pool().join(format!("{}.qcow2", volume.id)).exists());
}

async fn an_accident_is_repaired(bench: &Bench, id: Id<Instance>) {
    let before = bench.virsh(&["domid", &id.to_string()]);
    assert!(bench.virsh(&["destroy", &id.to_string()]).contains("destroyed"));
    bench.domain_is(id, "running", SOON).await;
    assert_ne!(before, bench.virsh(&["domid", &id.to_string()]), "it was started again");
    bench.console(id, "boot 2", BOOT).await;
}

async fn a_killed_agent_is_not_missed(bench: &mut Bench, id: Id<Instance>) {
    let before = bench.virsh(&["domid", &id.to_string()]);
    bench.kill_agent().await;
    bench.desk.with(|papers| papers.seen.clear());
    bench.start_agent().await;
    bench.running(id).await;
    assert_eq!(before, bench.virsh(&["domid", &id.to_string()]), "the guest ran through");
}

async fn a_reboot_happens_once(bench: &mut Bench, id: Id<Instance>) {
    let action = bench.desk.act(id, ActionKind::Reboot);
    let done = bench
        .desk
        .wait("the reboot is done", SOON, |papers| papers.ended.iter().find(|done| done.id == action).cloned());
    assert_eq!(done.await.unwrap().error, None);
    bench.console(id, "boot 3", BOOT).await;
    let before = bench.virsh(&["domid", &id.to_string()]);
    // The control plane had lost the agent's word: the same action is asked for again.
    bench.kill_agent().await;
    bench.desk.with(|papers| {
        papers.ended.clear();
        papers.actions.push(cirro_models::compute::assignment::AssignedAction {
            id: action,
            instance_id: id,
            kind: ActionKind::Reboot,
        });
    });
    bench.start_agent().await;
    let again = bench.desk.wait("it is reported done again", SOON, |papers| (!papers.ended.is_empty()).then_some(()));
    again.await.unwrap();
    assert_eq!(before, bench.virsh(&["domid", &id.to_string()]), "and not done again");
}

async fn a_new_root_disk_is_booted_once(bench: &mut Bench, id: Id<Instance>) {
    let address = bench.seen(id, "an address", BOOT, |seen| seen.address.is_some()).await.address;
    let macs = bench.virsh(&["domiflist", &id.to_string()]);
    bench.desk.with(|papers| {
        let spec = papers.specs.get_mut(&id).unwrap();
        spec.generation = spec.generation.next();
        spec.root_generation = spec.generation;
    });
    // the guest counts its boots on its root disk: the first one of the new disk is the second first one
    let again = async {
        while bench.console_file(id).matches(", boot 1").count() < 2 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(BOOT, again).await.unwrap_or_else(|_| panic!("no new disk:\n{}", bench.console_file(id)));
    let seen = bench.seen(id, "it runs again", BOOT, |seen| seen.address.is_some()).await;
    assert_eq!((seen.status, seen.address), (InstanceStatus::Running, address), "it keeps its address");
    let mac = |text: &str| text.split_whitespace().find(|word| word.matches(':').count() == 5).map(str::to_owned);
    assert_eq!(mac(&bench.virsh(&["domiflist", &id.to_string()])), mac(&macs));
    // told again after an accident, it has its disk already
    let before = bench.virsh(&["domid", &id.to_string()]);
    bench.kill_agent().await;
    bench.desk.with(|papers| papers.seen.clear());
    bench.start_agent().await;
    bench.running(id).await;
    assert_eq!(before, bench.virsh(&["domid", &id.to_string()]), "it runs through");
}

async fn another_size_is_had_once_it_is_off(bench: &Bench, id: Id<Instance>) {
    let macs = || bench.virsh(&["domiflist", &id.to_string()]);
    let before = macs();
    let generation = bench.desk.with(|papers| {
        let spec = papers.specs.get_mut(&id).unwrap();
        (spec.vcpus, spec.memory_mib, spec.disk_gib) = (Vcpus::new(2), MiB::new(160), GiB::new(3));
        spec.generation = spec.generation.next();
        spec.generation
    });
    let acted = |seen: &InstanceSeen| seen.observed_generation == generation;
    let seen = bench.seen(id, "it has its new size", SOON, acted).await;
    assert_eq!((seen.status, seen.reason), (InstanceStatus::Stopped, None));
    let xml = bench.virsh(&["dumpxml", "--inactive", &id.to_string()]);
    assert!(xml.contains(">163840</memory>") && xml.contains(">163840</currentMemory>"), "{xml}");
    assert!(xml.contains(">2</vcpu>"), "{xml}");
    let info = bench.virsh(&["domblkinfo", &id.to_string(), "vda"]);
    assert!(info.contains("3221225472"), "{info}");
    assert_eq!(macs(), before, "it has its place in the network still");
}

/// Somebody else's machine on the same host.
struct Foreign {
    name: String,
    description: String,
    uri: String,
}

impl Foreign {
    fn start(bench: &Bench) -> Self {
        let name = format!("foreign-{}", Id::<Instance>::new().uuid().simple());
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
        );
        let file = bench.config.data_dir.join("foreign.xml");
        std::fs::write(&file, xml).unwrap();
        bench.virsh(&["define", &file.display().to_string()]);
        assert!(bench.virsh(&["start", &name]).contains("started"));
        let description = bench.virsh(&["dumpxml", &name]);
        Self { name, description, uri: bench.uri.clone() }
    }
    fn is_untouched(&self, bench: &Bench) {
        assert_eq!(self.description, bench.virsh(&["dumpxml", &self.name]));
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        for verb in ["destroy", "undefine"] {
            // The test is over either way.
            let _ = Command::new("virsh").args(["-c", &self.uri, verb, &self.name]).output();
        }
    }
}
