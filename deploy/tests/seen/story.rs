//! One request id tells the whole story of a request, across processes.

use crate::{
    kit::Several,
    process::{LIMIT, until},
};
use serde_json::Value;
use std::{
    fs::File,
    process::{Child, Command},
};

fn sources<'l>(lines: &'l [Value], field: &str) -> Vec<&'l str> {
    lines.iter().filter_map(|line| line[field].as_str()).collect()
}

#[test]
fn a_create_is_told_from_the_bus_to_every_service_that_took_part() {
    let site = Several::start("");
    let image = site.home.path().join("small.qcow2");
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("64M").status();
    assert!(made.unwrap().success());
    site.cirro(&["image", "create", "--name", "small", "--file", image.to_str().unwrap(), "--wait"]).text();

    // nobody runs guests here, so there is no room: its story is told all the same
    let words = ["instance", "create", "--name", "web1", "--image", "small", "--flavor", "tiny"];
    assert_eq!(site.asking("create-web1", &words).code, 6);
    let complete = |lines: &[Value]| {
        let told = sources(lines, "source");
        let bus =
            lines.iter().any(|line| line["source"] == "bus-access" && line["message"] == "POST /compute/v1/instance");
        bus && ["compute-1", "images-1"].iter().all(|source| told.contains(source))
    };
    let story = site.story("create-web1", complete);
    let of_create: Vec<_> =
        story.iter().filter(|line| line["method"] == "POST" && line["path"] == "/compute/v1/instance").collect();
    let [create] = of_create[..] else { panic!("one process answers it once: {story:#?}") };
    assert_eq!((&create["status"], &create["service"]), (&409.into(), &"compute".into()));
    assert!(create["principal"].as_str().unwrap().starts_with("user:") && create["ms"].is_number(), "{create}");
    // the caller's trace goes on in the calls that it causes
    let trace = create["trace_id"].as_str().unwrap();
    let part = |source: &str| story.iter().any(|line| line["source"] == source && line["trace_id"] == trace);
    assert!(trace.len() == 32 && part("bus-access") && part("images-1"), "{story:#?}");
    assert!(sources(&story, "timestamp").is_sorted(), "{story:#?}");
    assert!(story.iter().all(|line| line["request_id"] == "create-web1"));

    let shown = site.seen(&["logs", "--request", "create-web1"]).text();
    assert!(
        shown.lines().any(|line| line.contains("compute-1") && line.contains("path=/compute/v1/instance")),
        "{shown}"
    );
    assert_eq!(site.seen(&["logs", "--request", "none-of-it"]).text(), "");
}

struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_follows_sees_what_is_written_from_then_on() {
    let site = Several::start("");
    let told = site.home.path().join("followed.out");
    let mut command = site.command(&["site", "logs", "--follow", "--request", "later", "-o", "json", "--data"]);
    command.arg(site.data()).stdout(File::create(&told).unwrap());
    let _follower = Follower(command.spawn().unwrap());
    site.asking("earlier", &["flavor", "list"]).text();
    site.asking("later", &["flavor", "list"]).text();
    let text = until(LIMIT, "the request is told", || {
        let text = std::fs::read_to_string(&told).unwrap();
        (text.contains("bus-access") && text.contains("compute-1")).then_some(text)
    });
    assert!(!text.contains("earlier"), "{text}");
}
