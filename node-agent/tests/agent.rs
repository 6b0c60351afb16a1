//! The whole wheel on a simulated machine, with a control plane on one desk: what happens when it is killed anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod fused;
#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    Id,
    compute::{
        Instance,
        instance::{InstanceStatus, Power},
        instance_action::ActionKind,
        report::Holdings,
    },
    storage::{
        assignment::{AttachmentSpec, VolumeSpec},
        attachment::AttachmentStatus,
    },
};
use cirro_node_agent_core::{
    agent::{Agent, Ended, Settings},
    desk::{Desk, Papers},
    guest::GuestState,
    hypervisor::Hypervisor,
    simulated::{Counts, Due, Fault, Knobs, Simulated},
};
use fused::Fused;
use kit::{id, spec};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(20);

fn start(desk: &Arc<Desk>, machine: Arc<dyn Hypervisor>) -> JoinHandle<Ended> {
    let settings = Settings { concurrency: 64, heartbeat: Duration::from_millis(500), ..Settings::default() };
    tokio::spawn(Agent::new(desk.clone(), machine, settings).run(std::future::pending()))
}

/// Waits for what the desk does not hear of.
async fn until(what: &str, is: impl Fn() -> bool) {
    let poll = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, poll).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn is(desk: &Desk, id: Id<Instance>, status: InstanceStatus) {
    let what = format!("{id} is {status}");
    let seen = desk.wait(&what, SOON, |papers| papers.seen.get(&id).filter(|seen| seen.status == status).map(|_| ()));
    seen.await.unwrap();
}

/// The node has told that it holds these guests, and files of no others.
async fn holds(desk: &Desk, guests: &[Id<Instance>]) {
    let told = Some(Holdings { guests: guests.to_vec(), files: Vec::new() });
    desk.wait(&format!("it holds {guests:?}"), SOON, |papers| (papers.holdings == told).then_some(())).await.unwrap();
}

#[tokio::test]
async fn what_a_node_holds_is_told_when_it_has_changed() {
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(Knobs::default())));
    let _agent = start(&desk, machine.clone());
    holds(&desk, &[]).await;
    let (one, two) = (id(7), id(8));
    desk.order(spec(two, 1, Power::Running));
    desk.order(spec(one, 1, Power::Stopped));
    holds(&desk, &[one, two]).await;
    desk.bury(one);
    holds(&desk, &[two]).await;
    // a control plane that was put back to an earlier state is told again
    desk.with(|papers| (papers.epoch, papers.holdings) = ("2".to_owned(), None));
    holds(&desk, &[two]).await;
}

#[tokio::test]
async fn a_guest_lives_and_goes() {
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(Knobs::default())));
    let agent = start(&desk, machine.clone());
    let web = id(7);
    desk.order(spec(web, 1, Power::Running));
    is(&desk, web, InstanceStatus::Running).await;

    machine.destroy(web).await.unwrap();
    until("it is started again", || machine.counts().started == 2).await;
    is(&desk, web, InstanceStatus::Running).await;

    machine.power_off_inside(web).await.unwrap();
    is(&desk, web, InstanceStatus::Stopped).await;
    assert_eq!(desk.with(|papers| papers.specs[&web].power.clone()), Power::Stopped, "the wish has followed");
    assert_eq!(machine.counts().started, 2, "it stays off");
    let refused = desk.act(web, ActionKind::Reboot);
    let ended = desk.wait("a refusal", SOON, |papers| papers.ended.iter().find(|done| done.id == refused).cloned());
    assert!(ended.await.unwrap().error.unwrap().contains("start it instead"));

    let question = desk.ask(web);
    let text = desk.wait("a console text", SOON, |papers| papers.texts.get(&question).cloned()).await.unwrap();
    assert_eq!(text.text.as_deref(), Some("this is web1, a simulated guest\n"));

    desk.bury(web);
    desk.wait("it is gone", SOON, |papers| papers.tombstones.is_empty().then_some(())).await.unwrap();
    assert_eq!(machine.look().guests, []);
    agent.abort();
}

#[tokio::test]
async fn what_does_not_end_is_told_with_every_heartbeat() {
    let machine = Simulated::new(Knobs::default());
    let hangs = Due { fault: Fault::Hang, from: Duration::ZERO };
    let machine = Arc::new(machine.failing(tokio::time::Instant::now(), vec![hangs]));
    let desk = Arc::new(Desk::new(None));
    let agent = start(&desk, machine);
    desk.order(spec(id(7), 1, Power::Running));
    let told = desk.wait("what it is at", SOON, |papers| papers.under_way.clone()).await.unwrap();
    assert_eq!(told.what, format!("building instance {}", id::<Instance>(7)));
    let later = |papers: &Papers| papers.under_way.as_ref().filter(|now| now.for_s > told.for_s).map(|_| ());
    until("it is told again", || desk.with(|papers| later(papers).is_some())).await;
    agent.abort();
}

#[tokio::test]
async fn a_restored_control_plane_kills_nothing() {
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(Knobs::default())));
    let agent = start(&desk, machine.clone());
    desk.order(spec(id(7), 1, Power::Running));
    desk.order(spec(id(8), 1, Power::Running));
    is(&desk, id(7), InstanceStatus::Running).await;
    is(&desk, id(8), InstanceStatus::Running).await;
    desk.wish(id(8), Power::Running, false);
    let acted = |papers: &cirro_node_agent_core::desk::Papers| {
        papers.seen.get(&id(8)).filter(|seen| seen.observed_generation.get() == 2).map(|_| ())
    };
    desk.wait("the newer generation is acted on", SOON, acted).await.unwrap();

    // Yesterday's copy: 7 was not there yet, 8 was wished off, and a tombstone of yesterday lies on the desk.
    desk.with(|papers| {
        papers.epoch = "2".to_owned();
        papers.specs.remove(&id(7));
        papers.specs.insert(id(8), spec(id(8), 1, Power::Stopped));
        let generation = cirro_models::Generation::new(9);
        let stone = cirro_models::compute::assignment::Tombstone { id: id(7), generation, epoch: "1".to_owned() };
        papers.tombstones.push(stone);
    });
    let told = desk.wait("7 is unclaimed", SOON, |papers| papers.unclaimed.first().cloned()).await.unwrap();
    assert_eq!((told.id, told.running, told.name.as_str()), (id(7), true, "web1"));
    let warned = desk.wait("8 says why", SOON, |papers| papers.seen.get(&id(8))?.reason.clone()).await.unwrap();
    assert!(warned.contains("put back to an earlier state"), "{warned}");
    assert!(machine.look().guests.iter().all(|guest| guest.state == GuestState::Running), "both run on");
    agent.abort();
}

#[tokio::test]
async fn losing_the_control_plane_changes_nothing() {
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(Knobs::default())));
    let agent = start(&desk, machine.clone());
    desk.order(spec(id(7), 1, Power::Running));
    is(&desk, id(7), InstanceStatus::Running).await;
    let before = machine.counts();
    desk.with(|papers| papers.down = true);
    machine.destroy(id(7)).await.unwrap();
    until("it is repaired all the same", || machine.counts().started == 2).await;
    assert_eq!(machine.counts(), Counts { started: 2, ..before }, "what was ordered last stays ordered");
    // Another agent knows no orders at all, and so does nothing at all.
    agent.abort();
    let agent = start(&desk, machine.clone());
    machine.power_off_inside(id(7)).await.unwrap();
    let knocks = desk.with(|papers| papers.knocks);
    until("it has asked in vain", || desk.with(|papers| papers.knocks) >= knocks + 3).await;
    assert_eq!(machine.counts(), Counts { started: 2, ..before });
    desk.with(|papers| papers.down = false);
    is(&desk, id(7), InstanceStatus::Stopped).await;
    agent.abort();
}

#[tokio::test]
async fn a_full_machine_says_so() {
    let knobs = Knobs { vcpus: 2, ..Knobs::default() };
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(knobs)));
    let agent = start(&desk, machine);
    for n in 1..=3 {
        desk.order(spec(id(n), 1, Power::Running));
    }
    let reason = desk.wait("one is refused", SOON, |papers| papers.seen.values().find_map(|seen| seen.reason.clone()));
    assert!(reason.await.unwrap().contains("3 of 2 vCPUs"));
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_guests() {
    let knobs = Knobs { delay: Duration::from_millis(5), ..Knobs::default() };
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(knobs)));
    let agent = start(&desk, machine.clone());
    desk.with(|papers| papers.specs.extend((1..=1000).map(|n| (id(n), spec(id(n), 1, Power::Running)))));
    let running = |papers: &cirro_node_agent_core::desk::Papers| {
        let up = papers.seen.values().filter(|seen| seen.status == InstanceStatus::Running).count();
        (up == 1000).then_some(())
    };
    desk.wait("all run", Duration::from_mins(1), running).await.unwrap_or_else(|late| panic!("{late:.80}"));
    assert_eq!((machine.counts().built, machine.counts().started), (1000, 1000));
    agent.abort();
}

/// The story that is told with the agent being killed at every one of its steps: a guest is made, gets a volume, is
/// rebooted, gets a new root disk, loses the volume, is stopped, gets another size, and goes with its volume. Answers how often each thing happened.
async fn story(kill_at: Option<(usize, bool)>) -> (Counts, usize) {
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(Knobs::default())));
    let fused = Arc::new(Fused::new(machine.clone(), kill_at));
    let first = start(&desk, fused.clone());
    let mut watcher = tokio::task::JoinSet::new();
    let (fuse, second) = (fused.clone(), (desk.clone(), machine.clone()));
    watcher.spawn(async move {
        fuse.blown().await;
        first.abort();
        // Until the story is over.
        let _ = start(&second.0, second.1).await;
    });
    let (web, volume) = (id(7), VolumeSpec { id: id(20), size_gib: cirro_models::GiB::new(1) });
    let attachment = AttachmentSpec { id: id(30), volume_id: volume.id, instance_id: web, detach: false };
    desk.order(spec(web, 1, Power::Running));
    is(&desk, web, InstanceStatus::Running).await;
    desk.with(|papers| {
        papers.volumes.push(volume.clone());
        papers.attachments.push(attachment.clone());
    });
    let attached = desk.wait("attached", SOON, |papers| papers.attachments_seen.get(&attachment.id).cloned());
    assert_eq!(attached.await.unwrap().status, AttachmentStatus::Attached);
    for kind in [ActionKind::Reboot, ActionKind::Reset] {
        let action = desk.act(web, kind);
        let ended =
            desk.wait("the action ends", SOON, |papers| papers.ended.iter().find(|done| done.id == action).cloned());
        assert_eq!(ended.await.unwrap().error, None);
        is(&desk, web, InstanceStatus::Running).await;
    }
    let disks = machine.look().guests[0].disks.clone();
    let generation = desk.with(|papers| {
        let spec = papers.specs.get_mut(&web).unwrap();
        spec.generation = spec.generation.next();
        (spec.root_generation, spec.image.id) = (spec.generation, id(3));
        spec.generation
    });
    let rebuilt = |papers: &Papers| {
        let seen = papers.seen.get(&web).filter(|seen| seen.observed_generation == generation)?;
        (seen.status == InstanceStatus::Running).then_some(())
    };
    desk.wait("it runs from its new disk", SOON, rebuilt).await.unwrap();
    let guest = machine.look().guests.remove(0);
    assert_eq!((guest.mark.image_id, guest.mark.root_generation, guest.disks), (id(3), generation, disks));
    desk.with(|papers| papers.attachments[0].detach = true);
    desk.wait("detached", SOON, |papers| papers.attachments.is_empty().then_some(())).await.unwrap();
    desk.wish(web, Power::Stopped, false);
    is(&desk, web, InstanceStatus::Stopped).await;
    let generation = desk.with(|papers| {
        let spec = papers.specs.get_mut(&web).unwrap();
        (spec.vcpus, spec.generation) = (cirro_models::Vcpus::new(2), spec.generation.next());
        spec.generation
    });
    let resized = |papers: &Papers| {
        papers.seen.get(&web).filter(|seen| seen.observed_generation == generation).map(|seen| seen.status.clone())
    };
    assert_eq!(desk.wait("it is resized", SOON, resized).await.unwrap(), InstanceStatus::Stopped);
    assert_eq!(machine.look().guests[0].mark.vcpus.get(), 2);
    desk.bury(web);
    desk.with(|papers| {
        papers.volumes.clear();
        papers.volume_tombstones.push(volume.id);
    });
    let gone = desk.wait("all is gone", SOON, |papers| {
        (papers.tombstones.is_empty() && papers.volume_tombstones.is_empty()).then_some(())
    });
    gone.await.unwrap();
    assert_eq!(machine.look(), cirro_node_agent_core::hypervisor::Observed::default(), "nothing is left");
    drop(watcher);
    (machine.counts(), fused.steps())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_nothing_is_lost_and_nothing_is_done_twice() {
    let (undisturbed, steps) = story(None).await;
    let once = Counts {
        built: 1,
        resized: 1,
        rebuilt: 1,
        started: 4,
        shut_down: 2,
        killed: 1,
        removed: 1,
        volumes_made: 1,
        volumes_removed: 1,
        attached: 1,
        detached: 1,
    };
    assert_eq!(undisturbed, once);
    assert!(steps >= 15, "{steps} steps");
    let mut stories = tokio::task::JoinSet::new();
    for (step, done) in (1..=steps).flat_map(|step| [(step, false), (step, true)]) {
        stories.spawn(async move { (step, done, story(Some((step, done))).await.0) });
    }
    while let Some(told) = stories.join_next().await {
        let (step, done, counts) = told.unwrap();
        assert_eq!(counts, once, "killed at step {step}, which was {}", if done { "done" } else { "not done" });
    }
}
