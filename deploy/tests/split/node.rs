//! A node loses everybody.

use crate::{
    common::{LIMIT, Typed, until},
    instances::{create, image, running},
    kit::{FREE, Split},
    load::Outcome,
    nodes::Machines,
};
use cirro_node_agent_core::simulated::{Counts, Simulated};
use serde_json::Value;
use std::time::Duration;

/// After how long a node that does not call is shown as silent.
const SILENT: Duration = Duration::from_secs(60);

/// A machine of the site's network that becomes a node, and reports.
fn join(site: &Split, n: usize, name: &str) -> Machines {
    let folder = site.path("nodes");
    let joined = site.network.machine(n).inside(|| Machines::join(site, &site.nodes(), &[name], &folder));
    until_node_is(site, name, "ready");
    joined
}

/// How many guests are on.
fn on(machine: &Simulated) -> usize {
    machine.look().guests.iter().filter(|guest| guest.state.is_on()).count()
}

fn show(site: &Split, noun: &str, name: &str) -> Value {
    site.cirro(&[noun, "show", name, "-o", "json"]).json()
}

fn until_node_is(site: &Split, name: &str, status: &str) {
    until(SILENT + LIMIT, &format!("{name} is {status}"), || {
        (show(site, "node", name)["status"] == status).then_some(())
    });
}

#[test]
fn guests_of_a_node_that_reaches_nobody_run_on_and_what_was_asked_meanwhile_is_done_when_it_returns() {
    let site = Split::start();
    image(&site, &site.path(""));
    let lonely = join(&site, FREE[0], "lonely");
    let names = ["stays", "stops", "goes"];
    names.iter().for_each(|name| create(&site, name));
    running(&site, 3);
    // there is room elsewhere, which nobody must move to
    let other = join(&site, FREE[1], "other");
    let before = names.map(|name| show(&site, "instance", name));

    let load = site.load();
    site.network.isolate(site.network.machine(FREE[0]));
    site.cirro(&["instance", "stop", "stops"]).text();
    site.cirro(&["instance", "delete", "goes"]).text();
    until_node_is(&site, "lonely", "silent");
    create(&site, "elsewhere");
    until(LIMIT, "the other node starts what is new", || (on(&other.all[0]) == 1).then_some(()));

    let machine = &lonely.all[0];
    assert_eq!((on(machine), machine.counts()), (3, Counts { built: 3, started: 3, ..Counts::default() }));
    let listed = site.listed(&["instance", "list"]);
    for (name, row) in names.iter().zip(&before) {
        let now = listed.iter().find(|instance| instance["name"] == *name).unwrap();
        assert_eq!((&now["id"], &now["node_id"]), (&row["id"], &row["node_id"]), "{now}");
    }

    site.network.heal();
    until(LIMIT, "what was asked meanwhile is done", || {
        (on(machine) == 1 && machine.counts().removed == 1 && site.listed(&["instance", "list"]).len() == 3)
            .then_some(())
    });
    until_node_is(&site, "lonely", "ready");
    until(LIMIT, "the node has reported", || (show(&site, "instance", "stops")["status"] == "stopped").then_some(()));
    assert_eq!(show(&site, "instance", "stays")["status"], "running");
    let outcomes = load.stop("a node is cut off from everybody");
    assert!(outcomes.iter().all(Outcome::is_good), "nobody else has noticed");
    let all = [machine.counts(), other.all[0].counts()];
    let done = all.map(|counts| (counts.built, counts.started, counts.shut_down, counts.removed));
    assert_eq!(done, [(3, 3, 1, 1), (1, 1, 0, 0)], "each thing was done once");
}
