//! Many instances deleted by one command, and what keeps it from being the wrong ones.

use crate::{books, kit::Site};

#[test]
fn all_of_a_label_or_of_a_plan_go_once_their_number_is_confirmed() {
    let site = Site::simulated(4);
    let launch = |name: &str, count: &str, label: &str| {
        let words =
            ["launch", name, "--count", count, "--flavor", "tiny", "--image", "demo", "--label", label, "--wait"];
        site.cirro(&words).text();
    };
    launch("workers", "30", "batch=one");
    launch("others", "5", "batch=two");
    books::agree(&site, 35, 1, 96);
    let unsaid = site.cirro(&["instance", "delete", "--label", "batch=one"]);
    assert_eq!(unsaid.code, 2, "{unsaid:?}");
    assert!(unsaid.err.contains("--expect 30") && unsaid.err.contains("workers-0001"), "{unsaid:?}");
    let wrong = site.cirro(&["instance", "delete", "--label", "batch=one", "--expect", "29"]);
    assert_eq!(wrong.code, 6, "{wrong:?}");
    books::agree(&site, 35, 1, 96);

    // somebody has begun with it already
    site.cirro(&["instance", "delete", "workers-0007", "workers-0008", "--wait"]).text();
    site.cirro(&["instance", "delete", "--label", "batch=one", "--expect", "28", "--wait"]).text();
    books::agree(&site, 5, 1, 96);
    let again = site.cirro(&["instance", "delete", "--label", "batch=one", "-o", "json"]).json();
    assert_eq!(again["found"], 0);
    site.cirro(&["instance", "delete", "--plan", "others", "--expect", "5", "--wait"]).text();
    books::are_empty(&site);
}

#[test]
fn an_operator_is_told_why_an_instance_is_not_on_a_node() {
    let site = Site::simulated(2);
    site.cirro(&["instance", "create", "--name", "web1", "--image", "demo", "--flavor", "tiny", "--wait"]).text();
    let shown = site.cirro(&["instance", "show", "web1", "-o", "json"]).json();
    let nodes = site.cirro(&["node", "list", "-o", "json"]).json();
    let other = nodes["items"].as_array().unwrap().iter().find(|node| node["id"] != shown["node_id"]).unwrap();
    let other = other["name"].as_str().unwrap();
    let open = site.cirro(&["why-not", "web1", other]).text();
    assert!(open.contains(&format!("not on {other}")) && open.contains("it could be placed"), "{open}");
    site.cirro(&["node", "drain", other]).text();
    let closed = site.cirro(&["why-not", "web1", other]).text();
    assert!(closed.contains("takes no new instances"), "{closed}");
}
