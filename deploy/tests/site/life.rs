//! One instance's life, as it is typed.

use crate::{
    books,
    kit::{Did, Site},
};
use serde_json::Value;

fn instance(site: &Site) -> Value {
    site.cirro(&["instance", "show", "web1", "-o", "json"]).json()
}

#[test]
fn an_instance_is_made_stopped_started_rebooted_and_deleted() {
    let mut site = Site::simulated(2);
    let image = site.image();
    let made = site.cirro(&[
        "instance", "create", "--name", "web1", "--image", &image, "--flavor", "small", "--wait", "-o", "json",
    ]);
    assert!(made.err.contains("web1: running"), "the states are told as they pass: {made:?}");
    let made = made.json();
    assert_eq!((made["status"].as_str(), made["vcpus"].as_i64()), (Some("running"), Some(1)), "{made}");
    assert!(made["address"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok(), "{made}");
    assert!(made["node_id"].is_string(), "{made}");
    books::agree(&site, 1, 1, 192);

    let typed = |verb: &str| -> Did { site.cirro(&["instance", verb, "web1", "--wait"]) };
    typed("stop").text();
    assert_eq!((&instance(&site)["status"], &instance(&site)["power"]), (&"stopped".into(), &"stopped".into()));
    typed("start").text();
    assert_eq!(instance(&site)["status"], "running");
    typed("reboot").text();
    typed("reset").text();
    assert_eq!(instance(&site)["status"], "running");
    books::agree(&site, 1, 1, 192);

    // the name is taken while it lives, and free when it is being deleted
    let again = ["instance", "create", "--name", "web1", "--image", &image, "--flavor", "small"];
    assert_eq!(site.cirro(&again).code, 6);
    typed("delete").text();
    assert_eq!(site.cirro(&["instance", "show", "web1"]).code, 3);
    books::are_empty(&site);
    site.cirro(&again).text();
    site.stop();
}

#[test]
fn what_does_not_fit_is_refused_with_the_reasons() {
    let site = Site::simulated(1);
    let image = site.image();
    let flavor = ["flavor", "create", "--name", "vast", "--vcpus", "65", "--memory", "1GiB", "--disk", "1GiB"];
    site.cirro(&flavor).text();
    let did = site.cirro(&["instance", "create", "--name", "big", "--image", &image, "--flavor", "vast"]);
    assert_eq!(did.code, 6, "{did:?}");
    for word in ["65 vCPUs", "1 of 1 nodes", "use a smaller flavor"] {
        assert!(did.err.contains(word), "{word} in {did:?}");
    }
    let did = site.cirro(&["instance", "create", "--name", "big", "--image", "nothing", "--flavor", "tiny"]);
    assert_eq!(did.code, 3, "{did:?}");
    books::are_empty(&site);
}
