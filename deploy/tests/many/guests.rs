//! What becomes of guests: each instance that was asked for is one guest, whatever dies meanwhile; and a site that was lost
//! and put back finds them all.

use crate::{
    common::{LIMIT, Typed, until},
    instances::{create, image, running},
    kit::{Many, SERVICES},
    nodes::Machines,
};
use serde_json::Value;
use std::path::Path;

const NAMES: [&str; 2] = ["machine-1", "machine-2"];

#[test]
fn instances_are_created_while_processes_are_killed_and_each_is_one_guest() {
    let site = Many::start();
    let folder = tempfile::tempdir().unwrap();
    let machines = Machines::join(&site, &site.nodes, &NAMES, folder.path());
    image(&site, folder.path());
    let mut count = 0;
    for n in [1, 2] {
        for service in SERVICES {
            let name = format!("{service}-{n}");
            create(&site, &format!("before-{name}"));
            let starts = site.starts(&name);
            site.signal(&name, "KILL");
            create(&site, &format!("after-{name}"));
            site.until_serving(&name, starts + 1);
            site.until_registered(service, 2);
            count += 2;
        }
    }
    running(&site, count);
    assert_eq!((machines.guests(), machines.built(), machines.started()), (count, count, count));
}

#[test]
fn a_site_that_was_lost_is_put_back_elsewhere_and_finds_every_guest() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let backup = kept.path().join("site.backup");
    let site = Many::start();
    let machines = Machines::join(&site, &site.nodes, &NAMES, folder.path());
    image(&site, folder.path());
    ["one", "two", "three", "four"].iter().for_each(|name| create(&site, name));
    let before = running(&site, 4);
    let (data, to) = (site.data(""), backup.to_str().unwrap());
    let words = ["site", "backup", "--name", "many", "--data", data.to_str().unwrap(), "--to", to];
    site.cirro_with(&words, &[("CIRRO_POSTGRES", &site.postgres.url)]).text();
    // what the backup does not know runs on, and is told
    create(&site, "five");
    running(&site, 5);
    let place = site.place();
    // databases, authority, credentials, images: everything of the site goes
    drop(site);
    assert_eq!(machines.guests(), 5, "losing the control plane changes nothing on a machine");

    let mut site = Many::put_back(&backup, place);
    // a backup holds rows, and no bytes of images
    site.found = vec!["images.image-without-bytes"];
    let after = running(&site, 4);
    let what = |list: &[Value]| -> Vec<_> {
        list.iter().map(|row| (row["id"].clone(), row["name"].clone(), row["node_id"].clone())).collect()
    };
    assert_eq!(what(&after), what(&before));
    let unclaimed = until(LIMIT, "the guest that the backup does not know is told", || {
        Some(site.listed(&["unclaimed", "list"])).filter(|list| !list.is_empty())
    });
    assert_eq!(unclaimed.len(), 1, "{unclaimed:?}");
    assert_eq!((machines.guests(), machines.built(), machines.started()), (5, 5, 5), "nothing was started twice");
    site.cirro(&["unclaimed", "adopt", unclaimed[0]["id"].as_str().unwrap()]).text();
    assert!(Path::new(&backup).exists());
}
