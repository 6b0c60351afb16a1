//! What can't be used is answered with a problem that names it and says what to send instead; the golden is what a caller
//! reads.

use super::site::Site;
use cirro_server::testkit::Backend;
use serde_json::{Value, json};
use std::fmt::Write;

#[tokio::test]
async fn wishes_that_can_not_be_used() {
    let site = Site::new(Backend::Sqlite).await;
    let id = site.running("web1").await;
    let one = format!("instance/{id}");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut wish = site.wish("web2");
        change(&mut wish);
        wish.to_string()
    };
    let unknown = "01900000-0000-7000-8000-0000000000ff";
    let mut text = String::new();
    for (what, method, path, body) in [
        ("no JSON", "POST", "instance", "{".to_owned()),
        ("a mistyped field", "POST", "instance", with(&|wish| wish["flavour_id"] = json!(unknown))),
        ("a field of the node's", "POST", "instance", with(&|wish| wish["status"] = "running".into())),
        ("a field of the service's", "POST", "instance", with(&|wish| wish["node_id"] = json!(unknown))),
        ("an unknown word", "POST", "instance", with(&|wish| wish["power"] = "runing".into())),
        ("a wrong type", "POST", "instance", with(&|wish| wish["ssh_key_ids"] = "all".into())),
        ("one of a list", "POST", "instance", with(&|wish| wish["ssh_key_ids"] = json!([unknown, "x"]))),
        ("no flavor", "POST", "instance", with(&|wish| drop(wish.as_object_mut().unwrap().remove("flavor_id")))),
        ("an unknown flavor", "POST", "instance", with(&|wish| wish["flavor_id"] = json!(unknown))),
        ("an unknown image", "POST", "instance", with(&|wish| wish["image_id"] = json!(unknown))),
        ("an unknown key", "POST", "instance", with(&|wish| wish["ssh_key_ids"] = json!([unknown]))),
        ("an overlong name", "POST", "instance", with(&|wish| wish["name"] = "x".repeat(64).into())),
        ("large user-data", "POST", "instance", with(&|wish| wish["user_data"] = "x".repeat(64 * 1024 + 1).into())),
        ("a large body", "POST", "instance", with(&|wish| wish["user_data"] = "x".repeat(1 << 20).into())),
        (
            "too many labels",
            "POST",
            "instance",
            with(&|wish| wish["labels"] = (0..33).map(|n| (format!("k{n}"), "v")).collect()),
        ),
        ("an unknown action", "POST", "instanceaction", json!({"instance_id": id, "kind": "rebot"}).to_string()),
        (
            "an action on nothing",
            "POST",
            "instanceaction",
            json!({"instance_id": unknown, "kind": "reboot"}).to_string(),
        ),
        ("a console of nothing", "POST", "consolelog", json!({"instance_id": unknown}).to_string()),
        ("a change of what is fixed", "PATCH", &one, json!({"vcpus": 9}).to_string()),
        ("a wish that is none", "PATCH", &one, json!({"power": null}).to_string()),
        ("an action that is changed", "PATCH", &format!("instanceaction/{unknown}"), "{}".to_owned()),
        ("an unknown instance", "DELETE", &format!("instance/{unknown}"), String::new()),
        ("what is no id", "GET", "instance/web1", String::new()),
        ("an unknown status", "GET", "instance?status=runing", String::new()),
        ("a label that is none", "GET", "instance?label=env", String::new()),
    ] {
        let bearer = format!("Bearer {}", site.actors.member().token.expose());
        let headers = [("authorization", bearer.as_str())];
        let told = site.server.send(method, &format!("/compute/v1/{path}"), &headers, body).await;
        assert!((400..500).contains(&told.status), "{what}: {} {}", told.status, told.text);
        let problem = told.problem(told.status);
        let named = problem.field.or(problem.kind).unwrap_or_default();
        let kind = problem.kind_of_problem.trim_start_matches(cirro_models::problem::TYPE_PREFIX);
        let _ = writeln!(text, "{what}\n    {} {kind} {named}\n    {}\n", told.status, problem.detail);
    }
    insta::assert_snapshot!(text.replace(&id.to_string(), "INSTANCE"));
    assert_eq!((site.used().await, site.claims().await), ([1, 1, 256], 1), "something half-made was left");
}

#[tokio::test]
async fn reports_that_can_not_be_used() {
    let site = Site::new(Backend::Sqlite).await;
    let (node, path) = (site.actors.node_of(site.node), format!("nodereport/{}", site.node));
    let good = serde_json::to_value(site.saw()).unwrap();
    let mut text = String::new();
    for (what, pointer, value) in [
        ("no list", "/instances", json!("all")),
        ("no boot", "/boot_id", json!("today")),
        ("a negative sequence", "/sequence", json!(-1)),
        ("half a guest", "/instances", json!([{"id": site.node}])),
        ("a negative generation", "/gone", json!([{"id": site.node, "generation": -1}])),
    ] {
        let mut report = good.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        let told = site.call(&node, "POST", &path, report).await;
        let problem = told.problem(422);
        let _ = writeln!(text, "{what}\n    {}\n    {}\n", problem.field.unwrap_or_default(), problem.detail);
    }
    insta::assert_snapshot!(text);
}
