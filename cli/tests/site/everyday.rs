//! What is done to an instance or a volume that exists: protecting, resizing, rebuilding, recovering.

use crate::Alice;
use serde_json::{Value, json};

impl Alice {
    fn row(&self, model: &str) -> Value {
        self.site.state().rows[model][0].clone()
    }
}

#[test]
fn protection_is_given_and_lifted() {
    let alice = Alice::logged_in();
    let create = ["volume", "create", "--name", "data", "--size", "1GiB", "--protect"];
    assert_eq!(alice.runs(&create).code, 0);
    assert_eq!(alice.row("volume")["protected"], true);
    assert_eq!(alice.runs(&["volume", "update", "data", "--no-protect"]).code, 0);
    assert_eq!(alice.row("volume")["protected"], false);

    alice.instance("web1");
    assert_eq!(alice.runs(&["instance", "update", "web1", "--protect"]).code, 0);
    let shown = alice.runs(&["instance", "show", "web1"]).out;
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["protected", "yes"])), "{shown}");
    assert_eq!(alice.runs(&["instance", "update", "web1", "--protect", "--no-protect"]).code, 2);
    assert_eq!(alice.runs(&["instance", "update", "web1", "--name", "web2"]).code, 0);
    assert_eq!(alice.row("instance")["protected"], true, "what is not named stays");
}

#[test]
fn an_instance_is_resized_and_awaited() {
    let alice = Alice::logged_in();
    let large = alice.site.add("flavor", json!({"name": "large", "vcpus": 4, "memory_mib": 512, "disk_gib": 1}));
    alice.instance("web1");
    let state = |power: &str| {
        let mut state = alice.site.state();
        let row = &mut state.rows.get_mut("instance").expect("instances")[0];
        (row["status"], row["power"]) = (power.into(), power.into());
    };
    state("stopped");
    let did = alice.runs(&["instance", "resize", "web1", "--flavor", "large", "--wait", "--idempotency-key", "k"]);
    assert_eq!((did.code, did.err.as_str()), (0, "web1: stopped\n"), "{did:?}");
    assert_eq!(alice.row("instance")["flavor_id"], large);
    let asked = alice.asked("PATCH");
    assert_eq!(asked.iter().map(|(_, key)| key.as_deref()).collect::<Vec<_>>(), [Some("k")]);
    assert_eq!(alice.runs(&["instance", "resize", "web1"]).code, 2, "to which size?");
    assert_eq!(alice.runs(&["instance", "resize", "web1", "--flavor", "none"]).code, 3);
}

#[test]
fn a_rebuild_is_asked_about_and_names_another_image_if_there_is_one() {
    let alice = Alice::logged_in();
    let other = json!({"name": "other", "format": "qcow2", "status": "ready", "public": false});
    let other = alice.site.add("machineimage", other);
    alice.instance("web1");
    let did = alice.runs(&["instance", "rebuild", "web1"]);
    assert_eq!(did.code, 2, "there is no terminal: {did:?}");
    assert!(did.err.contains("root disk of instance web1 is lost") && did.err.contains("--yes"), "{did:?}");
    assert_eq!(alice.asked("PATCH"), []);
    assert_eq!(alice.runs(&["instance", "rebuild", "web1", "--yes"]).code, 0);
    let row = alice.row("instance");
    assert_eq!((&row["rebuild"], &row["image_id"]), (&json!(true), &json!(crate::fake::PROJECT)));
    assert_eq!(alice.runs(&["instance", "rebuild", "web1", "--image", "other", "--yes"]).code, 0);
    assert_eq!(alice.row("instance")["image_id"], other);
}

#[test]
fn only_a_failed_instance_is_recovered() {
    let alice = Alice::logged_in();
    alice.instance("web1");
    let did = alice.runs(&["instance", "recover", "web1"]);
    assert_eq!(did.code, 6, "{did:?}");
    assert!(did.err.contains("web1 is running, and only a failed one"), "{did:?}");
    alice.site.state().rows.get_mut("instance").expect("instances")[0]["status"] = "failed".into();
    alice.site.state().script.insert("instance".into(), vec!["failed", "starting", "running"]);
    let did = alice.runs(&["instance", "recover", "web1", "--wait"]);
    assert!(did.code == 0 && did.err.contains("web1: starting") && did.err.contains("web1: running"), "{did:?}");
    assert_eq!(alice.row("instance")["generation"], 2, "its wish is a new one");
}
