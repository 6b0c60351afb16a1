//! `cirro launch`, `plan`, `undo`, `why` and `capacity`.

use crate::{Alice, fake::PROJECT};
use serde_json::{Value, json};
use std::{fs, path::Path};

const WEB: [&str; 8] = ["launch", "web", "--count", "3", "--flavor", "small", "--image", "demo"];
const PLANS: &str = "/compute/v1/launchplan";

impl Alice {
    /// Logged in, with a flavor `small` and an image `demo`; their ids.
    fn launching() -> (Self, String, String) {
        let alice = Self::logged_in();
        let flavor = alice.site.add("flavor", json!({"name": "small", "vcpus": 1, "memory_mib": 512, "disk_gib": 1}));
        let image = json!({"name": "demo", "format": "qcow2", "status": "ready", "public": false});
        let image = alice.site.add("machineimage", image);
        (alice, flavor, image)
    }
    fn plans(&self) -> Vec<Value> {
        self.site.state().rows.get("launchplan").cloned().unwrap_or_default()
    }
    fn script(&self, states: &[&'static str]) {
        self.site.state().script.insert("launchplan".into(), states.to_vec());
    }
    /// A launched plan with an instance that nobody touched, one that somebody did, and one with a volume.
    fn launched(&self) -> String {
        let group = json!({"name": "web", "count": 3, "template": {"flavor_id": PROJECT, "image_id": PROJECT}});
        let plan = json!({"name": "web", "groups": [group], "policy": "spread", "all_or_nothing": true,
            "intent": "launch", "generation": 1, "status": "launched"});
        let plan = self.site.add("launchplan", plan);
        for (name, touched) in [("web-0001", Value::Null), ("web-0002", json!(true)), ("web-0003", Value::Null)] {
            let id = self.instance(name);
            let mut state = self.site.state();
            let row = state.rows.get_mut("instance").expect("instances").last_mut().expect("the newest");
            (row["plan_id"], row["touched"]) = (plan.clone().into(), touched);
            drop(state);
            if name == "web-0003" {
                let attached = json!({"volume_id": PROJECT, "instance_id": id, "status": "attached"});
                self.site.add("attachment", attached);
            }
        }
        plan
    }
}

/// The words, and some more.
fn with<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, more].concat()
}

#[test]
fn options_become_a_plan_that_is_watched_until_all_run() {
    let (alice, flavor, image) = Alice::launching();
    alice.script(&["launching", "launched"]);
    let more = ["--label", "tier=web", "--policy", "best_fit", "--max-failures", "2", "--expires-in", "2h", "--watch"];
    let did = alice.runs(&with(&WEB, &more));
    assert_eq!(did.code, 0, "{did:?}");
    let lines: Vec<Value> = did.out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let seen: Vec<_> = lines.iter().map(|line| (&line["event"], &line["running"], &line["status"])).collect();
    let line = |event: &str, running: i64, status: &str| (json!(event), json!(running), json!(status));
    let expected = [
        line("progress", 0, "launching"),
        line("progress", 0, "launching"),
        line("progress", 3, "launched"),
        line("summary", 3, "launched"),
    ];
    assert_eq!(seen, expected.iter().map(|(a, b, c)| (a, b, c)).collect::<Vec<_>>(), "{did:?}");
    let plan = &alice.plans()[0];
    let template = json!({"flavor_id": flavor, "image_id": image});
    let group = json!({"name": "web", "count": 3, "template": template, "labels": {"tier": "web"}});
    assert_eq!(plan["groups"], json!([group]));
    assert_eq!((&plan["name"], &plan["policy"], &plan["max_failures"]), (&json!("web"), &json!("best_fit"), &json!(2)));
    assert!(plan["expires_at"].is_string(), "{plan}");
    let posts = alice.asked("POST");
    let keys: Vec<_> = posts.iter().filter(|(path, _)| path == PLANS).map(|(_, key)| key.is_some()).collect();
    assert_eq!(keys, [true]);
}

#[test]
fn a_launch_of_which_some_fail_or_that_takes_too_long_has_its_own_exit_code() {
    let (alice, ..) = Alice::launching();
    alice.script(&["launching", "halted"]);
    let did = alice.runs(&with(&WEB, &["--wait"]));
    assert_eq!(did.code, 7, "{did:?}");
    assert!(did.out.contains("2 of 3 instances run") && did.out.contains("1 failed: the disk is full"), "{did:?}");
    assert!(did.err.contains("cirro undo web"), "{did:?}");
    alice.script(&[]);
    let did = alice.runs(&with(&WEB, &["--wait", "--timeout", "1"]));
    assert_eq!(did.code, 5, "{did:?}");
    assert!(did.err.contains("it goes on"), "{did:?}");
}

#[test]
fn a_dry_run_shows_places_and_what_is_short_and_leaves_nothing() {
    let (alice, ..) = Alice::launching();
    let node = alice.site.add(
        "node",
        json!({"name": "rack1", "vcpus": 1, "memory_mib": 1, "disk_gib": 1, "mode": "active", "status": "ready",
            "unclaimed": 0}),
    );
    let places = json!([{"name": "web-0001", "node_id": node}, {"name": "web-0002", "node_id": node}]);
    let outlook = json!({"placed": 2, "nodes": 1, "quota": {"instances": 2, "vcpus": 2}, "of_free": 125,
        "image_bytes": 2048, "places": places});
    alice.site.state().outlook = outlook.clone();
    let fits = alice.runs(&["launch", "web", "--count", "2", "--flavor", "small", "--image", "demo", "--dry-run"]);
    assert_eq!(fits.code, 0, "{fits:?}");
    for words in ["2 of 2 on 1 nodes", "12.5 %", "2.0 KiB", "2 vcpus", "rack1"] {
        assert!(fits.out.contains(words), "{words}: {fits:?}");
    }
    let short =
        json!([{"group": "web", "count": 1, "detail": "there is room for 2 of 3", "reasons": ["1 node is full"]}]);
    alice.site.state().outlook["short"] = short.clone();
    let did = alice.runs(&with(&WEB, &["--dry-run", "-o", "json"]));
    assert_eq!(did.code, 6, "{did:?}");
    assert_eq!((&did.json()["outlook"]["short"], &did.json()["outlook"]["places"]), (&short, &places));
    assert!(did.err.contains("room for 2 of 3") && did.err.contains("1 node is full"), "{did:?}");
    assert!(alice.plans().is_empty(), "a preview is forgotten");
}

#[test]
fn what_is_held_is_launched_by_its_name() {
    let (alice, ..) = Alice::launching();
    let did = alice.runs(&with(&WEB, &["--hold"]));
    assert_eq!(did.code, 0, "{did:?}");
    assert!(did.err.contains("2026-01-01T00:10:00") && did.err.contains("cirro launch --plan web"), "{did:?}");
    alice.script(&["launched"]);
    let did = alice.runs(&["launch", "--plan", "web", "--wait", "--idempotency-key", "k1"]);
    assert_eq!(did.code, 0, "{did:?}");
    let path = format!("{PLANS}/{}", alice.plans()[0]["id"].as_str().unwrap_or_default());
    assert_eq!(alice.asked("PATCH"), [(path, Some("k1".to_owned()))]);
    let listed = alice.runs(&["plan", "list"]);
    assert!(listed.out.contains("launched"), "{listed:?}");
}

#[test]
fn a_launch_file_is_sent_with_ids_and_a_wrong_one_never() {
    let (alice, flavor, image) = Alice::launching();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/three-tier.yaml").display().to_string();
    let did = alice.runs(&["launch", "-f", &file]);
    assert_eq!(did.code, 0, "{did:?}");
    let plan = &alice.plans()[0];
    assert_eq!(plan["groups"].as_array().map(Vec::len), Some(3));
    assert_eq!(plan["groups"][2]["template"], json!({"flavor_id": flavor, "image_id": image}));
    let kinds: Vec<_> = plan["relationships"].as_array().into_iter().flatten().map(|kind| &kind["kind"]).collect();
    assert_eq!(kinds, ["spread", "same_node", "different_node"]);

    let wrong = alice.home.path().join("wrong.yaml");
    fs::write(&wrong, "groups: []\ndry_rnu: true\n").expect("a file");
    let did = alice.runs(&["launch", "-f", &wrong.display().to_string()]);
    assert_eq!(did.code, 2, "{did:?}");
    assert!(did.err.contains("dry_rnu") && did.err.contains("line 2"), "{did:?}");
    for words in
        [vec!["launch"], vec!["launch", "-f", &file, "--count", "3"], vec!["launch", "-f", &file, "--label", "a=b"]]
    {
        assert_eq!(alice.runs(&words).code, 2, "{words:?}");
    }
    assert_eq!(alice.plans().len(), 1);
}

#[test]
fn undo_shows_what_goes_and_asks() {
    let alice = Alice::logged_in();
    let plan = alice.launched();
    let did = alice.runs(&["undo", "web"]);
    assert_eq!(did.code, 2, "{did:?}");
    assert!(did.err.contains("1 instances go") && did.err.contains("web-0002, web-0003"), "{did:?}");
    assert!(did.err.contains("--yes") && alice.asked("PATCH").is_empty(), "{did:?}");
    alice.script(&["undoing", "undone"]);
    // the plan is read once before it is undone
    let did = alice.runs(&["undo", "web", "--yes", "--wait", "-o", "json"]);
    assert_eq!((did.code, &did.json()["status"]), (0, &json!("undone")), "{did:?}");
    let asked = alice.asked("PATCH");
    assert_eq!((asked.len(), &asked[0].0, asked[0].1.is_some()), (1, &format!("{PLANS}/{plan}"), true));
}

#[test]
fn why_tells_the_reasons_of_a_placement() {
    let alice = Alice::logged_in();
    alice.instance("web1");
    let placement = json!({"policy": "spread", "considered": 5, "refused": {"is full": 2}, "score": 800});
    alice.site.state().rows.get_mut("instance").expect("instances")[0]["placement"] = placement.clone();
    let did = alice.runs(&["why", "web1"]);
    assert_eq!(did.code, 0, "{did:?}");
    for words in ["5 nodes were looked at: 3 could take it", "2: is full", "80.0 %", "no runner-up", "spread"] {
        assert!(did.out.contains(words), "{words}: {did:?}");
    }
    assert_eq!(alice.runs(&["why", "web1", "-o", "json"]).json()["placement"], placement);
    assert_eq!(alice.runs(&["why", "web2"]).code, 3);
}

#[test]
fn capacity_says_how_many_more_fit_and_what_ends_it() {
    let (alice, ..) = Alice::launching();
    let did = alice.runs(&["capacity", "--flavor", "small"]);
    assert_eq!(
        (did.code, did.out.as_str()),
        (0, "7 more instances of flavor small fit; then the project's quota is used up\n")
    );
    assert_eq!(alice.runs(&["capacity", "--flavor", "small", "-o", "json"]).json()["more"], 7);
    assert_eq!(alice.runs(&["capacity", "--flavor", "none"]).code, 3);
}

#[test]
fn a_launch_without_a_name_gets_one_that_follows_from_its_key() {
    let (alice, ..) = Alice::launching();
    let words = ["launch", "--count", "3", "--flavor", "small", "--image", "demo", "--idempotency-key", "k1"];
    assert_eq!(alice.runs(&words).code, 0);
    let name = alice.plans()[0]["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("demo-") && name.len() == "demo-".len() + 6, "{name}");
    assert_eq!(alice.runs(&words).code, 0);
    assert_eq!(alice.plans()[1]["name"], name);
}
