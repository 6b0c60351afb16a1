//! `cirro quota`.

use crate::{Alice, fake::PROJECT};
use serde_json::json;

#[test]
fn each_service_tells_its_part() {
    let alice = Alice::logged_in();
    let did = alice.runs(&["quota", "show"]);
    assert_eq!((did.code, did.err.as_str()), (0, ""), "{did:?}");
    let expected = "\
RESOURCE     LIMIT    USED     RESERVED  FREE
instances    20       12       3         5
volume-size  50.0 GiB 7.0 GiB  0 B       43.0 GiB
image-size   1.0 TiB  3.0 GiB  0 B       1021.0 GiB
";
    let words = |text: &str| text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    let (shown, expected): (Vec<Vec<String>>, Vec<Vec<String>>) = (words(&did.out), words(expected));
    assert_eq!(shown, expected);
    let mut asked: Vec<_> = alice.asked("GET").into_iter().map(|(path, _)| path).collect();
    asked.sort();
    assert_eq!(asked, ["compute", "images", "storage"].map(|service| format!("/{service}/v1/quota/{PROJECT}")));

    let told = alice.runs(&["quota", "show", "-o", "json"]).json();
    assert_eq!(told["project_id"], PROJECT);
    assert_eq!(told["items"][0], json!({"resource": "instances", "limit": 20, "used": 12, "reserved": 3}));
    assert_eq!(told["items"].as_array().map(Vec::len), Some(3));
}

#[test]
fn limits_are_set_and_one_below_what_is_taken_is_spoken_of() {
    let alice = Alice::logged_in();
    let limits = json!({"id": PROJECT, "name": "web", "max_instances": 20, "max_vcpus": 1, "max_memory_mib": 1,
        "max_volumes": 1, "max_volume_gib": 1, "max_image_gib": 1});
    alice.site.add("project", limits);
    let did = alice.runs(&["quota", "set", "instances=10", "memory=2GiB", "--idempotency-key", "k"]);
    assert_eq!(did.code, 0, "{did:?}");
    assert!(did.err.starts_with("instances: 15 are taken, and the limit is 10: what is there stays"), "{did:?}");
    assert_eq!(alice.asked("PATCH"), [(format!("/identity/v1/project/{PROJECT}"), Some("k".to_owned()))]);
    let row = alice.site.state().rows["project"][0].clone();
    assert_eq!(
        [&row["max_instances"], &row["max_memory_mib"], &row["max_vcpus"]],
        [10, 2048, 1].map(|n| json!(n)).each_ref()
    );

    let wrong = alice.runs(&["quota", "set", "cores=10"]);
    assert_eq!((wrong.code, wrong.err.contains("instances, vcpus, memory")), (2, true), "{wrong:?}");
    assert_eq!(alice.runs(&["quota", "set"]).code, 2, "nothing to set");
}
