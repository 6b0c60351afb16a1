//! The agent in front of libvirt's own test driver, within this process: it needs no daemon and no guests.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod bare;

use bare::spec;
use cirro_models::{
    Id,
    compute::{
        Instance, Node,
        assignment::InstanceSpec,
        instance::{InstanceStatus, Power},
        instance_action::ActionKind,
    },
};
use cirro_node_agent::test_driver::{self, TestDriver};
use cirro_node_agent_core::{
    agent::{Agent, Ended, Settings},
    desk::{Desk, Papers},
    guest::Mark,
    hypervisor::Hypervisor,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Mutex, task::JoinHandle};
use virt::{connect::Connect, domain::Domain};

const URI: &str = "test:///default";
const GUESTS: usize = 50;
const SOON: Duration = Duration::from_mins(1);
/// The driver has one machine for the whole process, whose domains are counted.
static MACHINE: Mutex<()> = Mutex::const_new(());

fn start(desk: &Arc<Desk>, node: Id<Node>) -> JoinHandle<Ended> {
    let settings = Settings { concurrency: 8, heartbeat: Duration::from_millis(500), ..Settings::default() };
    let driver = TestDriver::new(node, URI).unwrap();
    tokio::spawn(Agent::new(desk.clone(), Arc::new(driver), settings).run(std::future::pending()))
}

/// What libvirt itself says of these instances: how many are defined, and how many run.
fn count(libvirt: &Connect, ids: &[Id<Instance>]) -> (usize, usize) {
    let domains: Vec<Domain> = ids.iter().filter_map(|id| Domain::lookup_by_uuid(libvirt, id.uuid()).ok()).collect();
    (domains.len(), domains.iter().filter(|domain| domain.is_active().unwrap()).count())
}

fn all(papers: &Papers, ids: &[Id<Instance>], status: &InstanceStatus) -> Option<()> {
    ids.iter().all(|id| papers.seen.get(id).is_some_and(|seen| seen.status == *status)).then_some(())
}

#[tokio::test]
async fn guests_live_and_go_and_an_agent_that_is_killed_makes_none_twice() {
    let _machine = MACHINE.lock().await;
    let libvirt = Connect::open(Some(URI)).unwrap();
    let foreign = libvirt.list_all_domains(0).unwrap().len();
    let (desk, node) = (Arc::new(Desk::new(None)), Id::new());
    let specs: Vec<InstanceSpec> = (0..GUESTS).map(spec).collect();
    let ids: Vec<_> = specs.iter().map(|spec| spec.id).collect();
    desk.with(|papers| papers.specs.extend(specs.into_iter().map(|spec| (spec.id, spec))));

    let first = start(&desk, node);
    desk.wait("the first run", SOON, |papers| (!papers.seen.is_empty()).then_some(())).await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let agent = start(&desk, node);
    desk.wait("all run", SOON, |papers| all(papers, &ids, &InstanceStatus::Running)).await.unwrap();
    assert_eq!(count(&libvirt, &ids), (GUESTS, GUESTS));
    assert_eq!(
        libvirt.list_all_domains(0).unwrap().len(),
        foreign + GUESTS,
        "none was made twice, and none taken over"
    );

    for id in &ids {
        desk.wish(*id, Power::Stopped, false);
    }
    desk.wait("all are off", SOON, |papers| all(papers, &ids, &InstanceStatus::Stopped)).await.unwrap();
    assert_eq!(count(&libvirt, &ids), (GUESTS, 0));
    for id in &ids {
        desk.wish(*id, Power::Running, false);
    }
    desk.wait("all run again", SOON, |papers| all(papers, &ids, &InstanceStatus::Running)).await.unwrap();
    desk.act(ids[0], ActionKind::Reboot);
    desk.wait("it is rebooted", SOON, |papers| (papers.ended.len() == 1).then_some(())).await.unwrap();
    assert_eq!(desk.with(|papers| papers.ended[0].error.clone()), None);
    assert_eq!(count(&libvirt, &ids), (GUESTS, GUESTS));

    for id in &ids {
        desk.bury(*id);
    }
    desk.wait("all are gone", SOON, |papers| papers.tombstones.is_empty().then_some(())).await.unwrap();
    assert_eq!(count(&libvirt, &ids), (0, 0));
    assert_eq!(libvirt.list_all_domains(0).unwrap().len(), foreign);
    agent.abort();
}

#[tokio::test]
async fn a_copy_that_was_made_by_hand_is_no_guest() {
    let _machine = MACHINE.lock().await;
    let (libvirt, node, spec) = (Connect::open(Some(URI)).unwrap(), Id::new(), spec(0));
    let driver = TestDriver::new(node, URI).unwrap();
    driver.build(&spec, &Mark::of(&spec)).await.unwrap();
    let before = driver.observe().await.unwrap();
    let original = Domain::lookup_by_uuid(&libvirt, spec.id.uuid()).unwrap();
    let (xml, copys) = (original.get_xml_desc(0).unwrap(), Id::<Instance>::new().to_string());
    let xml = xml.replace(&format!("<uuid>{}</uuid>", spec.id), &format!("<uuid>{copys}</uuid>"));
    let xml = xml.replace(&format!("<name>{}</name>", original.get_name().unwrap()), &format!("<name>{copys}</name>"));
    let copy = Domain::define_xml(&libvirt, &xml).unwrap();
    assert!(copy.get_xml_desc(0).unwrap().contains(&spec.id.to_string()), "it has its original's mark");
    let after = driver.observe().await.unwrap();
    copy.undefine().unwrap();
    driver.remove(spec.id).await.unwrap();
    assert_eq!((before.guests.len(), before), (1, after));
}

#[test]
fn only_the_test_drivers_own_uris_mean_it() {
    assert!(
        ["test:///default", "test+unix:///default", "test:///etc/site.xml"]
            .iter()
            .all(|uri| test_driver::is_meant_by(uri))
    );
    assert!(
        !["qemu:///system", "qemu+ssh://test/system", "testing:///x", ""]
            .iter()
            .any(|uri| test_driver::is_meant_by(uri))
    );
}
