//! `cirro site queue`.

use crate::Alice;
use serde_json::json;

fn job(state: &str) -> serde_json::Value {
    json!({"kind": "remove-image", "payload": {}, "state": state, "request_id": "r1", "attempts": 12,
        "error": "the disk\u{1b}[2J is gone", "enqueued_at": "2026-01-01T00:00:00Z", "due_at": "2026-01-01T00:00:00Z"})
}

#[test]
fn the_queue_is_listed_requeued_and_dropped() {
    let alice = Alice::logged_in();
    let (dead, _) = (alice.site.add("job", job("dead")), alice.site.add("job", job("done")));
    let listed = alice.runs(&["site", "queue", "--service", "images", "--dead"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert_eq!(listed.out.lines().count(), 2, "{listed:?}");
    assert!(listed.out.contains(&dead) && listed.out.contains("r1") && !listed.out.contains('\u{1b}'), "{listed:?}");
    let all = alice.runs(&["site", "queue", "-o", "json"]).json();
    let services: Vec<_> = all["items"].as_array().expect("items").iter().map(|job| job["service"].clone()).collect();
    assert_eq!(services.len(), 8, "two of each service: {all}");

    let did = alice.runs(&["site", "queue", "requeue", "images", &dead, "--idempotency-key", "k"]);
    assert_eq!((did.code, did.out), (0, format!("job {dead} of images is requeued\n")));
    assert_eq!(alice.asked("PATCH"), [(format!("/images/v1/job/{dead}"), Some("k".to_owned()))]);
    assert_eq!(alice.site.state().rows["job"][0]["state"], "waiting");
    let did = alice.runs(&["site", "queue", "drop", "images", &dead]);
    assert_eq!((did.code, did.out), (0, format!("job {dead} of images is dropped\n")));
    assert_eq!(alice.runs(&["site", "queue", "drop", "images", &dead]).code, 3, "it is gone");
    assert_eq!(alice.runs(&["site", "queue", "drop", "elsewhere", &dead]).code, 2);
}
