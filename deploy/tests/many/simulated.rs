//! Simulated nodes in a process of their own: what their fence says, and what is left of them when it is killed.

use crate::{
    common::{LIMIT, Typed, did, until},
    kit::Many,
};
use std::process::Command;

#[test]
fn a_simulated_machine_that_was_switched_off_stays_off_when_its_process_is_killed() {
    let site = Many::simulated(2, &[]);
    let power = |order: &str, node: &str| {
        // as compute calls it: with nothing of its environment, and the node's labels
        let mut fence = Command::new(site.data("simulated/fence"));
        fence.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        did(fence.args([order, node, "rack=r01"]))
    };
    assert_eq!(power("status", "node-0001").text(), "on\n");
    assert_eq!(power("off", "node-0002").text(), "off\n");
    let other = power("status", "node-0003");
    assert!(other.code != 0 && other.err.contains("node-0003"), "{other:?}");

    let before = site.signal("simulated-1", "KILL");
    site.pid("simulated-1", Some(before));
    until(LIMIT, "it answers again", || (power("status", "node-0001").code == 0).then_some(()));
    assert_eq!(["node-0001", "node-0002"].map(|node| power("status", node).text()), ["on\n", "off\n"]);

    let data = site.data("");
    let again = ["site", "simulate", "--data", data.to_str().unwrap(), "--nodes", "2", "--first", "2"];
    let refused = site.cirro(&again);
    assert!(refused.code == 6 && refused.err.contains("another process"), "{refused:?}");
    let nodes = site.listed(&["node", "list"]);
    let mut racks: Vec<_> = nodes.iter().map(|node| node["labels"]["rack"].as_str().unwrap()).collect();
    // they are listed in the order in which they joined
    racks.sort_unstable();
    assert_eq!(racks, ["r01", "r02"], "they are the same nodes as before");
}
