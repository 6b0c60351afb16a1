//! The example that replaces what runs batch by batch, as its user runs it.

use crate::{books, common::program, kit::Site};
use serde_json::Value;
use std::{collections::BTreeSet, process::Command};

impl Site {
    /// The example with these words: its exit code, and what it has said.
    fn replacement(&self, words: &[&str]) -> (Option<i32>, String) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rolling-replacement");
        let mut command = Command::new(script);
        command.args(words).env("CIRRO", program("cirro")).env("CIRRO_CONFIG", self.home.path().join("config"));
        let did = command.output().unwrap();
        (did.status.code(), String::from_utf8_lossy(&did.stderr).into_owned())
    }
    /// The names of the instances that there are, which all run.
    fn running(&self) -> BTreeSet<String> {
        let listed = self.cirro(&["instance", "list", "--all", "-o", "json"]).json();
        let live = listed["items"].as_array().unwrap().iter().filter(|row| row.get("deleted_at").is_none());
        live.map(|row| {
            assert_eq!(row["status"], "running", "{row}");
            row["name"].as_str().unwrap().to_owned()
        })
        .collect()
    }
    fn launch(&self, name: &str, count: &str) {
        let words = ["launch", name, "--count", count, "--flavor", "small", "--image", "demo", "--wait"];
        self.cirro(&words).text();
    }
}

fn names(names: &[(&str, usize)]) -> BTreeSet<String> {
    names.iter().flat_map(|(plan, count)| (1..=*count).map(move |n| format!("{plan}-{n:04}"))).collect()
}

#[test]
fn what_runs_is_replaced_batch_by_batch_and_a_repetition_goes_on_where_it_stopped() {
    let site = Site::simulated(4);
    site.launch("blue", "5");
    let words = ["blue", "green", "--flavor", "small", "--image", "demo", "--batch", "2"];
    // an attempt that ended before anything was deleted, and one that had deleted some
    site.launch("green-1", "2");
    site.cirro(&["instance", "delete", "blue-0001", "--wait"]).text();
    let (code, said) = site.replacement(&words);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("green-1 was launched before") && said.contains("deleting blue-0002\n"), "{said}");
    assert_eq!(site.running(), names(&[("green-1", 2), ("green-2", 2), ("green-3", 1)]));
    let (code, said) = site.replacement(&words);
    assert_eq!((code, site.running().len()), (Some(0), 5), "{said}");

    for name in ["blue", "green-1", "green-2", "green-3"] {
        site.cirro(&["undo", name, "--yes", "--wait"]).text();
    }
    books::are_empty(&site);
}

#[test]
fn a_failure_stops_it_and_what_was_there_still_runs() {
    let mut site = Site::simulated(4);
    site.launch("blue", "4");
    let whole: Value = site.cirro(&["quota", "set", "instances=5", "-o", "json"]).json();
    assert_eq!((&whole["items"][0]["limit"], &whole["items"][0]["used"]), (&5.into(), &4.into()));
    let (code, said) = site.replacement(&["blue", "green", "--flavor", "small", "--image", "demo", "--batch", "2"]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("stopped: not all of green-1 run") && said.contains("quota"), "{said}");
    assert_eq!(site.running(), names(&[("blue", 4)]));
    assert_eq!(site.replacement(&["blue"]).0, Some(2));
    let missing = site.replacement(&["none", "green", "--flavor", "small", "--image", "demo"]);
    assert_eq!(missing.0, Some(3), "{missing:?}");
    site.stop();
}
