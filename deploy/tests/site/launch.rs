//! One request for many instances on nodes of which some refuse, so that others take over: counted in the simulated machines' own ledger.

use crate::{
    books,
    kit::{LIMIT, Site, until},
};
use cirro_models::{
    Id, Page, Verbs,
    compute::{
        Instance, LaunchPlan,
        instance::{InstanceFilter, InstanceStatus},
        launch_plan::{LaunchPlanPatch, NewLaunchPlan, PlanIntent, PlanStatus},
    },
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

const COUNT: usize = 200;

/// The instances that the ledger says this of, with how often it does; and on which nodes.
fn told(ledger: &Path, what: &str) -> (BTreeMap<String, usize>, BTreeSet<String>) {
    let (mut instances, mut nodes) = (BTreeMap::new(), BTreeSet::new());
    for line in fs::read_to_string(ledger).unwrap().lines() {
        let [_time, node, instance, did, ..] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if did == what {
            *instances.entry(instance.to_owned()).or_default() += 1;
            nodes.insert(node.to_owned());
        }
    }
    (instances, nodes)
}

/// The same of what must not happen twice.
fn once(ledger: &Path, what: &str) -> BTreeSet<String> {
    let (instances, _) = told(ledger, what);
    assert!(instances.values().all(|times| *times == 1), "{what} more than once: {instances:?}");
    instances.into_keys().collect()
}

/// The plan, as soon as it has come to this.
pub async fn rests(site: &Site, id: Id<LaunchPlan>, status: PlanStatus) -> LaunchPlan {
    let (session, end) = (site.session(), Instant::now() + LIMIT);
    let mut position = None;
    loop {
        let ctx = session.context().await.unwrap();
        let plan = LaunchPlan::get(&ctx, id).await.unwrap();
        if plan.status == status {
            return plan;
        }
        assert!(Instant::now() < end, "not {status} within {LIMIT:?}: {plan:#?}");
        let wait = std::time::Duration::from_secs(1);
        position = LaunchPlan::watch(&ctx, position, wait).await.ok().map(|changes| changes.position);
    }
}

fn refusing(ledger: &Path) -> Site {
    let words = ["--no-agent", "--simulate", "20", "--seed", "7", "--fail", "10%:refuse", "--boot-ms", "0..20"];
    let mut site = Site::prepared(&[&words[..], &["--ledger", ledger.to_str().unwrap()]].concat());
    site.allow(&["an action failed"]);
    site.start();
    until(LIMIT, "the nodes are ready", || {
        let listed = site.cirro(&["node", "list", "--all", "-o", "json"]).json();
        let ready = listed["items"].as_array().unwrap().iter().filter(|node| node["status"] == "ready").count();
        (ready == 20).then_some(())
    });
    site
}

fn wish(site: &Site) -> NewLaunchPlan {
    let template = json!({"flavor_id": site.id("flavor", "small"), "image_id": site.id("image", "demo")});
    let groups = json!([{"name": "web", "count": COUNT, "template": template}]);
    serde_json::from_value(json!({"name": "crowd", "groups": groups})).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plan_tells_is_what_the_machines_did_and_all_of_it_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let ledger: PathBuf = folder.path().join("ledger");
    let mut site = refusing(&ledger);
    let session = site.session();
    let ctx = session.context().await.unwrap();
    let plan = LaunchPlan::create(&ctx.clone().keyed("crowd"), wish(&site)).await.unwrap().model;
    assert_eq!(plan.outlook.unwrap().placed, i64::try_from(COUNT).unwrap());

    let launched = rests(&site, plan.id, PlanStatus::Launched).await;
    let progress = launched.progress.unwrap();
    let built = once(&ledger, "built");
    let (refused, refusers) = told(&ledger, "refused");
    let count = |state| usize::try_from(progress.count(state)).unwrap();
    assert_eq!((count("running"), count("failed"), built.len()), (COUNT, 0, COUNT), "{progress:?}");
    assert_eq!((once(&ledger, "started"), refusers.len()), (built.clone(), 2), "{refusers:?}");
    let moved: BTreeSet<String> = refused.into_keys().collect();
    assert!(!moved.is_empty() && progress.failures.is_empty(), "{:?}", progress.failures);
    assert_eq!(told(&ledger, "removed").0.len(), 0, "there was nothing to remove where they were refused");
    let filter = InstanceFilter { status: Some(InstanceStatus::Running), ..InstanceFilter::default() };
    let running = Instance::list(&ctx, &filter, &Page::first(Page::MAX)).await.unwrap().items;
    assert_eq!(running.iter().map(|row| row.id.to_string()).collect::<BTreeSet<_>>(), built);

    let tried = |row: &&Instance| row.placement.as_ref().is_some_and(|placement| !placement.tried.is_empty());
    assert_eq!(running.iter().filter(tried).map(|row| row.id.to_string()).collect::<BTreeSet<_>>(), moved);
    let one = running.iter().find(tried).unwrap();
    let why = site.cirro(&["why", one.name.as_str()]).out;
    assert!(why.contains("it was tried on") && why.contains("refuses every build"), "{why}");

    let patch = LaunchPlanPatch { intent: Some(PlanIntent::Undo), ..LaunchPlanPatch::default() };
    LaunchPlan::update(&ctx.keyed("undo"), plan.id, patch).await.unwrap();
    rests(&site, plan.id, PlanStatus::Undone).await;
    books::are_empty(&site);
    site.stop();
    assert_eq!((once(&ledger, "removed"), once(&ledger, "built")), (built.clone(), built));
}

#[test]
fn words_that_make_no_sense_are_told_what_to_write() {
    let site = Site::prepared(&[]);
    for (words, code, told) in [
        (&["--fail", "5%:refuse"][..], 2, "--simulate"),
        (&["--simulate", "5", "--fail", "5%"], 2, "NODES:WHAT"),
        (&["--simulate", "5", "--boot-ms", "9..1"], 2, "100..500"),
        (&["--simulate", "5", "--fail", "node-0006:hang"], 1, "node-0005"),
        (&["--simulate", "5", "--node-vcpus", "0"], 1, "1 to"),
        (&["--simulate", "5", "--ledger", "/nowhere/ledger"], 5, "/nowhere/ledger"),
    ] {
        let words = [&["--no-agent"], words].concat();
        let did = site.up(&site.data(), "127.0.0.1:0", &words, &[]).did();
        assert_eq!(did.code, code, "{words:?}: {did:?}");
        assert!(did.err.contains(told), "{words:?}: {did:?}");
        assert!(!site.data().exists(), "nothing was begun");
    }
}
