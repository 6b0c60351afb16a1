//! An agent dies while its guests run on, and nothing can switch its machine off: the machine's watchdog stops them, and then they run
//! elsewhere, never twice at a time, as the machines' own ledger tells.

use crate::{
    books,
    kit::{LIMIT, Site, until},
    loss::nodes,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const COUNT: usize = 24;
const LOST: &str = "node-0003";

/// Where each instance runs at the end of the ledger; stops the test where one runs in two places, and says what was stopped on
/// the lost node.
fn running(ledger: &Path) -> (BTreeMap<String, BTreeSet<String>>, usize) {
    let (mut places, mut stopped): (BTreeMap<String, BTreeSet<String>>, _) = (BTreeMap::new(), 0);
    for line in fs::read_to_string(ledger).unwrap().lines() {
        let [_time, node, instance, did, ..] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let place = places.entry(instance.to_owned()).or_default();
        match did {
            "started" => drop(place.insert(node.to_owned())),
            "went-off" | "killed" | "removed" | "lost" => {
                stopped += usize::from(did == "went-off" && node == LOST);
                place.remove(node);
            }
            _ => {}
        }
        assert!(place.len() <= 1, "{instance} runs twice after {line}: {place:?}");
    }
    (places, stopped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_watchdog_has_stopped_runs_elsewhere_and_nothing_runs_twice() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let words = ["--no-agent", "--simulate", "6", "--silent-after", "3", "--watchdog", "3"];
    let fail = ["--fail", "node-0003:silent@25s", "--ledger", ledger.to_str().unwrap()];
    let mut site = Site::prepared(&[&words[..], &fail].concat());
    site.allow(&["node.silent", "node.fencing", "node.fenced"]);
    site.start();
    until(LIMIT, "the nodes are ready and have told of their watchdogs", || {
        let told = |node: &serde_json::Value| node["status"] == "ready" && node["watchdog_s"] == 3;
        nodes(&site).values().all(told).then_some(())
    });
    let count = COUNT.to_string();
    let launch = ["launch", "web", "--count", &count, "--flavor", "small", "--image", "demo"];
    site.cirro(&[&launch[..], &["--on-node-loss", "recreate", "--wait"]].concat()).text();
    let lost = nodes(&site)[LOST]["id"].clone();
    let all = || site.cirro(&["instance", "list", "--status", "running", "--all", "-o", "json"]).json();
    assert!(all()["items"].as_array().unwrap().iter().any(|row| row["node_id"] == lost), "the node has its share");

    until(LIMIT, "the node is fenced", || (nodes(&site)[LOST]["status"] == "fenced").then_some(()));
    until(LIMIT, "all of them run, and none on the lost node", || {
        let listed = all();
        let rows = listed["items"].as_array().unwrap();
        (rows.iter().filter(|row| row["node_id"] != lost).count() == COUNT).then_some(())
    });
    books::agree(&site, i64::try_from(COUNT).unwrap(), 1, 192);
    site.stop();
    let (places, stopped) = running(&ledger);
    assert!(stopped > 0, "its watchdog has stopped what ran there");
    assert_eq!(places.values().filter(|place| !place.is_empty()).count(), COUNT);
    assert!(places.values().all(|place| !place.contains(LOST)), "{}", json!(places));
}
