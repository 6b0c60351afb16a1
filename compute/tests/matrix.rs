//! Who may do what with compute's models: measured, and committed to be read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_models::{
    Id,
    compute::{ConsoleLog, Flavor, Instance, InstanceAction, Node, SshKey, UnclaimedGuest, instance::InstanceStatus},
};
use cirro_server::testkit::{Backend, Matrix};
use serde_json::json;
use site::{Site, build, put};
use uuid::Uuid;

#[tokio::test]
async fn who_may_do_what() {
    let site = Site::new(Backend::Sqlite).await;
    let ours = site.actors.project;
    site.new_node("large", 64, 65536, 1000).await;
    // a guest of its own for each action, so that none is refused because of another
    for n in 0..200 {
        let mut row: Instance = build(ours, site.wish(&format!("guest{n}")));
        (row.id, row.status, row.node_id) = (guest(n), InstanceStatus::Running, Some(site.node));
        put(&site.compute, row).await;
    }
    let sizes = |n: u32| json!({"name": format!("n{n}"), "vcpus": 1, "memory_mib": 64, "disk_gib": 1});
    let key = |n: u32| json!({"name": format!("n{n}"), "public_key": format!("ssh-ed25519 {}", "A".repeat(68))});
    let instance = |n: u32| json!({"name": format!("n{n}"), "flavor_id": site.small, "image_id": site.image});
    let action = |n: u32| json!({"instance_id": guest(n), "kind": "reboot"});
    let log = |n: u32| json!({"instance_id": guest(n)});
    let unclaimed = |n: u32| {
        json!({"node_id": site.node, "instance_id": Uuid::now_v7(), "generation": 1, "name": format!("n{n}"),
            "project_id": ours, "image_id": site.image, "vcpus": 1, "memory_mib": 1, "disk_gib": 1, "running": true})
    };
    let mut matrix = Matrix::new(&site.server, &site.compute, &site.actors);
    matrix.model::<Flavor>("flavor", |n, _| build(ours, sizes(n)), sizes).await;
    matrix.model::<Node>("node", |n, _| build(ours, sizes(n)), sizes).await;
    matrix.model::<SshKey>("sshkey", |n, _| build(ours, key(n)), key).await;
    matrix.model::<Instance>("instance", |n, _| build(ours, instance(n)), instance).await;
    let assigned = |n: u32, actor: Option<&cirro_server::testkit::Actor>| {
        let mut row: Instance = build(ours, instance(n));
        row.node_id = actor.and_then(|actor| actor.subject().node());
        row
    };
    matrix.model::<Instance>("instance, on the node that asks", assigned, instance).await;
    matrix.model::<ConsoleLog>("consolelog", |n, _| build(ours, log(n)), log).await;
    matrix.model::<InstanceAction>("instanceaction", |n, _| build(ours, action(n)), action).await;
    matrix.model::<UnclaimedGuest>("unclaimedguest", |n, _| build(ours, unclaimed(n)), unclaimed).await;
    insta::assert_snapshot!(matrix.text);
}

fn guest(n: u32) -> Id<Instance> {
    Id::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_9000_0000_0000_0000 + u128::from(n)))
}
