//! Who may do what with storage's models: measured, and committed to be read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "service/site.rs"]
#[allow(dead_code, reason = "shared with the tests of the service")]
mod site;

use cirro_models::storage::{Attachment, StoragePool, Volume, volume::VolumeStatus};
use cirro_server::{
    OwnerContext,
    testkit::{Actor, Backend, Matrix},
};
use serde_json::json;
use site::{Site, build};

/// More numbers than the table counts through.
const NUMBERS: usize = 100;

#[tokio::test]
async fn who_may_do_what() {
    let site = Site::new(Backend::Sqlite).await;
    let ours = site.actors.project;
    // for each pool a node, and for each attachment a volume: none is refused because of another
    let (mut nodes, mut volumes) = (Vec::new(), Vec::new());
    for n in 0..NUMBERS {
        nodes.push(site.new_node(&format!("node{n}")).await);
        let mut row: Volume = build(ours, json!({"name": format!("there{n}"), "size_gib": 1}));
        (row.status, row.node_id) = (VolumeStatus::Available, Some(site.node));
        volumes.push(row.id);
        site.service().write(move |tx| tx.insert(&row)).await.unwrap();
    }
    let instance = site.instance(ours, Some(site.node)).await;
    let pool = |n: u32| json!({"name": format!("n{n}"), "node_id": nodes[n as usize], "capacity_gib": 1});
    let volume = |n: u32| json!({"name": format!("n{n}"), "size_gib": 1});
    let attachment = |n: u32| json!({"volume_id": volumes[n as usize], "instance_id": instance});
    let mut matrix = Matrix::new(&site.server, &site.storage, &site.actors);
    matrix.model::<Volume>("volume", |n, _| build(ours, volume(n)), volume).await;
    let of_node = |n: u32, actor: Option<&Actor>| {
        let mut row: Volume = build(ours, volume(n));
        row.node_id = actor.and_then(|actor| actor.subject().node());
        row
    };
    matrix.model::<Volume>("volume, on the node that asks (ours has no quota left)", of_node, volume).await;
    matrix.model::<StoragePool>("storagepool", |n, _| build(ours, pool(n)), pool).await;
    matrix.model::<Attachment>("attachment", |n, _| build(ours, attachment(n)), attachment).await;
    insta::assert_snapshot!(matrix.text);
}
