//! How the site is, and what stands in the registry.

use crate::{
    kit::Several,
    process::{LIMIT, signal, until},
};
use serde_json::Value;

#[test]
fn every_process_tells_how_it_is_and_what_is_not_well_is_an_exit_code() {
    let mut site = Several::start("compute=2");
    // identity's first answers may be a moment away
    let status = until(LIMIT, "all is well", || {
        let did = site.seen(&["status", "-o", "json"]);
        (did.code == 0).then(|| did.json())
    });
    let processes = status["processes"].as_array().unwrap();
    let count = |service: &str| processes.iter().filter(|process| process["service"] == service).count();
    assert_eq!(["identity", "compute", "storage", "images"].map(count), [1, 2, 1, 1]);
    for process in processes {
        let told = &process["status"];
        assert_eq!(told["service"], process["service"]);
        assert_eq!((&told["database"], &told["knows_keys"]), (&Value::Bool(true), &Value::Bool(true)));
        assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
        assert!(told["pid"].as_u64().unwrap() > 1 && told["uptime_s"].is_number(), "{process}");
    }
    assert_eq!((&status["registry"]["complaint"], &status["bus"]["complaint"]), (&Value::Null, &Value::Null));
    let table = site.seen(&["status"]).text();
    assert_eq!(table.matches("well").count(), 7, "five processes, the registry and the bus: {table}");

    // what nobody of the site has written
    site.allow(&["registry_entry_invalid", "tls.refused"]);
    site.put(&format!("{}/compute/rubbish", site.prefix()), b"\x1b[2J{");
    let listed = site.seen(&["registry", "-o", "json"]).json();
    let items = listed["items"].as_array().unwrap();
    let rubbish = items.iter().find(|item| item["id"] == "rubbish").unwrap();
    assert!(rubbish["unreadable"].is_string() && rubbish["address"].is_null(), "{rubbish}");
    assert!(!site.seen(&["registry"]).text().contains('\x1b'));
    let did = site.seen(&["status"]);
    assert_eq!(did.code, 1);
    assert!(did.err.contains("not well") && did.out.contains("can't be read"), "{did:?}");
}

#[test]
fn a_process_that_hangs_is_found() {
    let mut site = Several::start("");
    let noted: Value = serde_json::from_slice(&std::fs::read(site.data().join("processes.json")).unwrap()).unwrap();
    let hung = u32::try_from(noted["storage-1"].as_u64().unwrap()).unwrap();
    // others notice it too
    site.allow(&["client_endpoint_ejected", "storage", "timed out"]);
    signal("STOP", hung);
    let did = site.seen(&["status", "-o", "json"]);
    signal("CONT", hung);
    assert_eq!(did.code, 1, "{did:?}");
    let status: Value = serde_json::from_str(&did.out).unwrap();
    let unwell: Vec<_> =
        status["processes"].as_array().unwrap().iter().filter(|process| !process["complaint"].is_null()).collect();
    let gone = status["missing"].as_array().unwrap().iter().any(|service| service == "storage");
    assert!(gone || unwell.iter().any(|process| process["service"] == "storage"), "{status}");
}
