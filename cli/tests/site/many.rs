//! What is done to many instances at once, and what is asked of all of a site.

use crate::Alice;
use serde_json::json;

const PLAN: &str = "01970000-0000-7000-8000-0000000000bb";

/// Five instances of a plan, one of which is going already.
fn crowd() -> Alice {
    let alice = Alice::logged_in();
    for n in 1..=5 {
        let deleted = if n == 5 { json!("2026-01-01T00:00:00Z") } else { json!(null) };
        let row = json!({"name": format!("web-{n}"), "plan_id": PLAN, "flavor_id": PLAN, "image_id": PLAN,
            "status": "running", "power": "running", "generation": 1, "observed_generation": 1, "vcpus": 1,
            "memory_mib": 1, "disk_gib": 1, "deleted_at": deleted});
        alice.site.add("instance", row);
    }
    alice
}

fn left(alice: &Alice) -> usize {
    alice.site.state().rows["instance"].len()
}

#[test]
fn many_are_deleted_only_when_their_number_is_confirmed() {
    let alice = crowd();
    let unsaid = alice.runs(&["instance", "delete", "--plan", PLAN]);
    assert_eq!(unsaid.code, 2, "{unsaid:?}");
    for words in ["4 instances of plan", "web-1, web-2", "1 are being deleted already", "--expect 4"] {
        assert!(unsaid.err.contains(words), "{words} in {unsaid:?}");
    }
    let wrong = alice.runs(&["instance", "delete", "--plan", PLAN, "--expect", "5"]);
    assert_eq!(wrong.code, 6, "{wrong:?}");
    assert!(wrong.err.contains("4 instances") && wrong.err.contains("nothing is deleted"), "{wrong:?}");
    assert_eq!(left(&alice), 5);
    let done = alice.runs(&["instance", "delete", "--plan", PLAN, "--expect", "4", "-o", "json"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.json(), json!({"found": 4, "deleted": 4, "failed": []}));
    assert_eq!(left(&alice), 1);
    let state = alice.site.state();
    let keys: std::collections::BTreeSet<_> =
        state.asked.iter().filter(|(method, ..)| method == "DELETE").map(|(_, _, key)| key.clone()).collect();
    assert_eq!((keys.len(), keys.contains(&None)), (4, false), "each has a key of its own: {keys:?}");
}

#[test]
fn what_fails_is_told_and_the_same_command_goes_on() {
    let alice = crowd();
    alice.site.state().held = vec!["web-2", "web-3"];
    let words = ["instance", "delete", "--plan", PLAN, "--expect", "4", "--max-failures", "2"];
    let partly = alice.runs(&words);
    assert_eq!(partly.code, 7, "{partly:?}");
    assert!(partly.err.contains("2: it is held") && partly.err.contains("--expect 2"), "{partly:?}");
    assert_eq!(left(&alice), 3);
    // all that are left fail: that is the failure itself
    let refused = alice.runs(&["instance", "delete", "--plan", PLAN, "--expect", "2"]);
    assert_eq!(refused.code, 6, "{refused:?}");
    alice.site.state().held.clear();
    let done = alice.runs(&["instance", "delete", "--plan", PLAN, "--expect", "2"]);
    assert_eq!((done.code, left(&alice)), (0, 1), "{done:?}");
    let nothing = alice.runs(&["instance", "delete", "--plan", PLAN]);
    assert_eq!(nothing.code, 0, "nothing is left to confirm: {nothing:?}");
    for (words, code) in [(&["instance", "delete"][..], 2), (&["instance", "delete", "a", "--plan", PLAN], 2)] {
        assert_eq!(alice.runs(words).code, code, "{words:?}");
    }
}

#[test]
fn an_audit_tells_each_finding_in_a_line_and_by_its_exit_code() {
    let alice = Alice::logged_in();
    let clean = alice.runs(&["audit"]);
    assert_eq!((clean.code, clean.out.contains("nothing found")), (0, true), "{clean:?}");
    let finding = json!({"code": "compute.claim-without-node", "thing": "claim", "detail": "its node\u{1b}[2J is gone",
        "remedy": "report it"});
    let id = alice.site.add("audit", finding);
    let found = alice.runs(&["audit", "--service", "compute"]);
    assert_eq!(found.code, 7, "{found:?}");
    assert!(found.out.starts_with(&format!("compute.claim-without-node: claim {id}: its node")), "{found:?}");
    assert!(!found.out.contains('\u{1b}') && found.out.lines().count() == 1, "{found:?}");
    assert!(found.err.contains("docs/audit.md"), "{found:?}");
    let all = alice.runs(&["audit", "-o", "json"]);
    assert_eq!(all.code, 7, "{all:?}");
    let items: serde_json::Value = serde_json::from_str(&all.out).expect("JSON");
    assert_eq!(items["items"].as_array().map(Vec::len), Some(4), "each service was asked: {items}");
}

#[test]
fn why_not_is_told_in_sentences() {
    let alice = crowd();
    let node = alice.site.add(
        "node",
        json!({"name": "node-0005", "vcpus": 1, "memory_mib": 1, "disk_gib": 1,
        "mode": "active", "status": "silent", "unclaimed": 0}),
    );
    let told = alice.runs(&["why-not", "web-1", "node-0005"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.out.contains("it could not be placed on node-0005 now: the node does not report"), "{told:?}");
    let whole = alice.runs(&["why-not", "web-1", &node, "-o", "json"]).json();
    assert_eq!(whole["node_id"], node.as_str());
}
