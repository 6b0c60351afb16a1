//! The rules and the dashboard that are shipped.

use cirro_models::alert::Alert;
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Each rule's name and expression.
fn rules() -> Vec<(String, String)> {
    let text = read("prometheus/cirro.rules.yml");
    let value =
        |line: &str, name: &str| line.trim().strip_prefix(name).map(|value| value.trim_matches('\'').to_owned());
    let names: Vec<_> = text.lines().filter_map(|line| value(line, "- alert: ")).collect();
    let expressions: Vec<_> = text.lines().filter_map(|line| value(line, "expr: ")).collect();
    assert_eq!(names.len(), expressions.len());
    names.into_iter().zip(expressions).collect()
}

/// The names of metrics that rules and dashboard ask for, without the ends that a histogram's parts have.
pub fn metrics() -> BTreeSet<String> {
    let dashboard: Value = serde_json::from_str(&read("grafana/cirro.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let all = asked.chain(rules().into_iter().map(|(_, expression)| expression)).collect::<Vec<_>>().join(" ");
    let words = all.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("cirro_") || word.starts_with("process_"));
    let whole = |word: &str| {
        ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    ours.map(whole).collect()
}

#[test]
fn every_alert_has_its_rule_and_every_rule_of_an_alert_has_one() {
    let rules = rules();
    let of_alerts: Vec<_> = rules.iter().filter(|(_, expression)| expression.contains("cirro_alerts_total")).collect();
    let names: BTreeSet<_> = of_alerts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, Alert::ALL.iter().map(|alert| alert.name()).collect());
    assert_eq!(names.len(), of_alerts.len(), "one rule for each");
    for (name, expression) in of_alerts {
        assert!(expression.contains(&format!("alert=\"{name}\"")), "{name}: {expression}");
    }
    assert!(metrics().len() > 15, "{:?}", metrics());
}

/// Prometheus reads the rules as YAML, which Python does here.
#[test]
fn the_rules_are_what_prometheus_reads() {
    let check = "import sys, json\ntry:\n import yaml\nexcept ImportError:\n sys.exit('install python3-yaml')\n\
        groups = yaml.safe_load(sys.stdin)['groups']\n\
        rules = [rule for group in groups for rule in group['rules']]\n\
        assert all({'alert', 'expr', 'labels', 'annotations'} <= rule.keys() for rule in rules)\nprint(len(rules))";
    let file = fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus/cirro.rules.yml")).unwrap();
    let ran = std::process::Command::new("python3").args(["-c", check]).stdin(file).output().unwrap();
    let told = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(told.trim(), rules().len().to_string(), "{}", String::from_utf8_lossy(&ran.stderr));
}
