//! Machines that vanish while instances are launched on them: what is to be recreated runs elsewhere, and never twice, as the
//! machines' own ledger tells.

use crate::{
    books,
    kit::{LIMIT, Site, until},
    launch::rests,
};
use cirro_models::{
    Verbs,
    compute::{
        LaunchPlan,
        launch_plan::{LaunchPlanPatch, PlanIntent, PlanStatus},
    },
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const COUNT: usize = 120;
const LOST: [&str; 2] = ["node-0003", "node-0007"];

/// Where each instance is, after every line of the ledger; stops the test where one is in two places.
pub fn places(ledger: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in fs::read_to_string(ledger).unwrap().lines() {
        let [_time, node, instance, did, ..] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let place = places.entry(instance.to_owned()).or_default();
        match did {
            "built" | "started" => drop(place.insert(node.to_owned())),
            "removed" | "lost" => drop(place.remove(node)),
            _ => {}
        }
        assert!(place.len() <= 1, "{instance} is in two places after {line}: {place:?}");
    }
    places
}

pub fn nodes(site: &Site) -> BTreeMap<String, Value> {
    let listed = site.cirro(&["node", "list", "--all", "-o", "json"]).json();
    let named = |node: &Value| (node["name"].as_str().unwrap().to_owned(), node.clone());
    listed["items"].as_array().unwrap().iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_on_lost_machines_runs_elsewhere_and_nothing_runs_twice() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let words = ["--no-agent", "--simulate", "12", "--silent-after", "3", "--boot-ms", "100..1500"];
    // the machine of one vanishes; the other's agent dies, and its guests run on until they are fenced
    let fail =
        ["--fail", "node-0003:crash@15s", "--fail", "node-0007:silent@15s", "--ledger", ledger.to_str().unwrap()];
    let mut site = Site::prepared(&[&words[..], &fail].concat());
    site.allow(&["node.silent", "node.fencing", "node.fenced", "an action failed"]);
    site.start();
    until(LIMIT, "the nodes are ready", || nodes(&site).values().all(|node| node["status"] == "ready").then_some(()));
    let template = json!({"flavor_id": site.id("flavor", "small"), "image_id": site.id("image", "demo"), "on_node_loss": "recreate"});
    let groups = json!([{"name": "web", "count": COUNT, "template": template}]);
    let wish = serde_json::from_value(json!({"name": "crowd", "groups": groups})).unwrap();
    let session = site.session();
    let ctx = session.context().await.unwrap();
    let plan = LaunchPlan::create(&ctx.keyed("crowd"), wish).await.unwrap().model;

    until(LIMIT, "both are fenced", || {
        let nodes = nodes(&site);
        LOST.iter().all(|name| nodes[*name]["status"] == "fenced").then_some(())
    });
    rests(&site, plan.id, PlanStatus::Launched).await;
    let lost: BTreeSet<String> = nodes(&site)
        .iter()
        .filter(|(name, _)| LOST.contains(&name.as_str()))
        .map(|(_, node)| node["id"].as_str().unwrap().to_owned())
        .collect();
    let tried = until(LIMIT, "all of them run, and none on a lost node", || {
        let listed = site.cirro(&["instance", "list", "--status", "running", "--all", "-o", "json"]).json();
        let rows = listed["items"].as_array().unwrap();
        let elsewhere = rows.iter().filter(|row| !lost.contains(row["node_id"].as_str().unwrap()));
        let tried = rows.iter().filter(|row| !row["placement"]["tried"].is_null()).count();
        (elsewhere.count() == COUNT).then_some(tried)
    });
    assert!(tried > 0);
    books::agree(&site, i64::try_from(COUNT).unwrap(), 1, 192);
    for name in LOST {
        site.cirro(&["node", "forget", name]).text();
    }
    let patch = LaunchPlanPatch { intent: Some(PlanIntent::Undo), ..LaunchPlanPatch::default() };
    let ctx = session.context().await.unwrap();
    LaunchPlan::update(&ctx.keyed("undo"), plan.id, patch).await.unwrap();
    rests(&site, plan.id, PlanStatus::Undone).await;
    books::are_empty(&site);
    site.stop();
    assert!(places(&ledger).values().all(BTreeSet::is_empty), "nothing is left of any");
}
