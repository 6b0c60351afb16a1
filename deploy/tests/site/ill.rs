//! A thousand instances on a hundred machines of which some refuse, some hang and one crashes: what is to be recreated runs in the end
//! without anybody's doing, and what is to stay says what it waits for. Counted in the machines' own ledger.

use crate::{
    books,
    kit::{LIMIT, Site, until},
    loss::{nodes, places},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

const COUNT: usize = 1000;
const CRASHES: &str = "node-0042";
/// Long enough for the launch to be under way by then: guests take a few seconds to start, a few at a time on each machine.
const WHEN: &str = "node-0042:crash@20s";

/// A hundred machines that are ready, with a ledger, some of which are ill.
fn site(ledger: &Path, ill: &[&str]) -> Site {
    let words = ["--no-agent", "--simulate", "100", "--seed", "7", "--silent-after", "6", "--stuck-after", "15"];
    let boot = ["--boot-ms", "3000..6000", "--ledger", ledger.to_str().unwrap()];
    let ill: Vec<&str> = ill.iter().flat_map(|one| ["--fail", one]).collect();
    let mut site = Site::prepared(&[&words[..], &boot, &ill].concat());
    site.allow(&["an action failed", "node.silent", "node.fencing", "node.fenced", "node_stuck", "no orders from"]);
    site.start();
    until(LIMIT, "the nodes are ready", || {
        let nodes = nodes(&site);
        (nodes.len() == 100 && nodes.values().all(|node| node["status"] == "ready")).then_some(())
    });
    site
}

fn launch(site: &Site, on_node_loss: &str, wait: &[&str]) -> crate::kit::Did {
    let words = ["launch", "crowd", "--count", "1000", "--flavor", "small", "--image", "demo", "--on-node-loss"];
    site.cirro(&[&words[..], &[on_node_loss], wait].concat())
}

/// Where the instances are by the ledger, those that are anywhere: it stops the test where one is in two places.
fn alive(ledger: &Path) -> BTreeMap<String, String> {
    let one = |(id, place): (String, BTreeSet<String>)| place.into_iter().next().map(|node| (id, node));
    places(ledger).into_iter().filter_map(one).collect()
}

/// The nodes with this status.
fn with_status(site: &Site, status: &str) -> BTreeSet<String> {
    nodes(site).into_iter().filter(|(_, node)| node["status"] == status).map(|(name, _)| name).collect()
}

#[test]
fn what_is_to_be_recreated_runs_although_machines_refuse_hang_and_crash_and_nobody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let mut site = site(&ledger, &["5%:refuse", "2%:hang", WHEN]);
    let did = launch(&site, "recreate", &["--wait", "--timeout", "300"]);
    assert_eq!(did.code, 0, "{did:?}");
    assert!(did.out.contains("1000 of 1000 instances run"), "{did:?}");

    // where the launch was faster than it takes to see that a machine has crashed, that is seen and mended now
    let lost = until(2 * LIMIT, "three nodes are fenced", || {
        let lost = with_status(&site, "fenced");
        (lost.len() == 3).then_some(lost)
    });
    assert!(lost.contains(CRASHES), "{lost:?}");
    until(2 * LIMIT, "all run on other machines", || {
        let alive = alive(&ledger);
        (alive.len() == COUNT && alive.values().all(|node| !lost.contains(node))).then_some(())
    });
    until(LIMIT, "the site has heard of it", || {
        let running = site.cirro(&["instance", "list", "--status", "running", "--all", "-o", "json"]).json();
        (running["items"].as_array().unwrap().len() == COUNT).then_some(())
    });
    let told = std::fs::read_to_string(&ledger).unwrap();
    assert!(told.lines().any(|line| line.contains(CRASHES) && line.ends_with(" lost")), "it crashed midway");
    assert!(told.contains(" refused"));
    books::agree(&site, 1000, 1, 192);
    // the audit of what ends finds nothing
    site.stop();
}

#[test]
fn what_is_to_stay_says_which_node_it_waits_for_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let mut site = site(&ledger, &["5%:refuse", "2%:hang", WHEN]);
    assert_eq!(launch(&site, "stay", &[]).code, 0);
    let (running, waits) = until(2 * LIMIT, "each of them runs, or says what it waits for", || {
        let plan = site.cirro(&["plan", "show", "crowd", "-o", "json"]).json();
        let progress = &plan["progress"];
        let waits = progress["waits"].as_array().cloned().unwrap_or_default();
        let waiting: i64 = waits.iter().map(|group| group["count"].as_i64().unwrap()).sum();
        let running = progress["counts"]["running"].as_i64().unwrap_or(0);
        let all = running + waiting == 1000 && with_status(&site, "stuck").len() == 2;
        (all && with_status(&site, "silent") == BTreeSet::from([CRASHES.to_owned()])).then_some((running, waits))
    });
    let stuck = with_status(&site, "stuck");
    for group in &waits {
        let reason = group["reason"].as_str().unwrap();
        let names = |node: &&String| reason.starts_with(&format!("it waits for node {node}, which "));
        let of_stuck = stuck.iter().any(|node| names(&node)) && reason.contains("has not finished");
        let of_crashed = names(&&CRASHES.to_owned()) && reason.contains("does not report");
        assert!(of_stuck || of_crashed, "{reason}");
        assert!(!group["names"].as_array().unwrap().is_empty(), "{group}");
    }
    for node in &stuck {
        assert!(
            waits.iter().any(|group| group["reason"].as_str().unwrap().contains(node.as_str())),
            "{node}: {waits:?}"
        );
        let row = site.cirro(&["node", "list", "--name", node]).out;
        assert!(row.contains("not finished: building instance"), "{row}");
    }
    let alive = alive(&ledger);
    let there = |node: &String| alive.values().filter(|other| *other == node).count();
    assert!(stuck.iter().all(|node| there(node) == 0), "a machine that hangs makes nothing");
    assert!(usize::try_from(running).unwrap() >= alive.len(), "{running} of {}", alive.len());
    site.stop();
}

#[test]
fn one_slow_machine_holds_back_none_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let slow = "node-0005";
    let mut site = Site::prepared(&[
        "--no-agent",
        "--simulate",
        "100",
        "--fail",
        "node-0005:slow=10m",
        "--ledger",
        ledger.to_str().unwrap(),
    ]);
    site.start();
    until(LIMIT, "the nodes are ready", || (with_status(&site, "ready").len() == 100).then_some(()));
    // fewer at a time than there are: those that the slow one has must not take all the turns
    let did = launch(&site, "stay", &["--max-in-flight", "100"]);
    assert_eq!(did.code, 0, "{did:?}");
    let plan = until(LIMIT, "all but those on the slow machine run", || {
        let plan = site.cirro(&["plan", "show", "crowd", "-o", "json"]).json();
        (plan["progress"]["counts"]["running"] == 990).then_some(plan)
    });
    let id = |node: &str| nodes(&site)[node]["id"].clone();
    let slowest = &plan["progress"]["slowest"];
    assert_eq!(
        (&slowest[0]["node_id"], &slowest[0]["waiting"], slowest.as_array().map(Vec::len)),
        (&id(slow), &Value::from(10), Some(1))
    );
    let alive = alive(&ledger);
    assert!(alive.len() == 990 && alive.values().all(|node| node != slow), "{}", alive.len());
    site.stop();
}
