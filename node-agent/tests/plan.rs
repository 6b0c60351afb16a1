//! The rules of the plan, by example and over everything that can be drawn.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    Generation, GiB, Id, Vcpus,
    compute::{
        Instance,
        assignment::{AssignedAction, AssignedInstance, InstanceSpec, NodeAssignment, Tombstone},
        instance::Power,
        instance_action::ActionKind,
    },
    storage::assignment::{AttachmentSpec, StorageAssignment, VolumeSpec},
};
use cirro_node_agent_core::{
    act,
    desired::{Desired, Instances},
    guest::{Guest, GuestDisk, GuestState, Mark, OffCause, Order},
    hypervisor::{Hypervisor, Observed},
    memory::Memory,
    plan::{Action, Subject, plan},
    seen,
    simulated::{Knobs, Simulated},
};
use kit::{id, spec};
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const EPOCH: &str = "now";

fn orders(specs: Vec<InstanceSpec>, tombstones: Vec<Tombstone>, actions: Vec<AssignedAction>) -> NodeAssignment {
    NodeAssignment {
        epoch: EPOCH.to_owned(),
        revision: "1".to_owned(),
        manifest: specs.iter().map(|spec| AssignedInstance { id: spec.id, generation: spec.generation }).collect(),
        instances: specs,
        tombstones,
        actions,
        console_logs: Vec::new(),
        requests: BTreeMap::new(),
    }
}

fn storage(volumes: Vec<VolumeSpec>, attachments: Vec<AttachmentSpec>, gone: Vec<u128>) -> StorageAssignment {
    let volume_tombstones = gone.into_iter().map(id).collect();
    let requests = BTreeMap::new();
    StorageAssignment {
        epoch: EPOCH.to_owned(),
        revision: "1".to_owned(),
        volumes,
        attachments,
        volume_tombstones,
        requests,
    }
}

fn desired(instances: NodeAssignment, storage: StorageAssignment) -> Desired {
    Desired { instances: Arc::new(Instances::absorb(None, instances)), storage: Arc::new(storage) }
}

fn guest(n: u128, generation: i64, order: Order, state: GuestState) -> Guest {
    let mark = Mark::of(&spec(id(n), generation, Power::Running)).ordering(order);
    Guest { mark, state, disks: Vec::new(), address: None }
}

fn machine(mut guests: Vec<Guest>) -> Observed {
    guests.sort_unstable_by_key(Guest::id);
    let files = guests.iter().map(Guest::id).collect();
    Observed { guests, files, ..Observed::default() }
}

#[test]
fn disks_without_a_guest_and_files_of_no_volume_are_told() {
    let mut observed = machine(vec![guest(2, 1, Order::Running, GuestState::Running)]);
    observed.files.insert(id(1));
    observed.volumes.insert(id(3));
    let held = seen::holdings(&observed).unwrap();
    assert_eq!((held.guests, held.files), (vec![id(2)], vec![id(1)]));
    assert_eq!(seen::volume_files(&observed), Some(vec![id(3)]));
    observed.files.extend((10..10_000).map(id));
    assert_eq!(seen::holdings(&observed), None, "too much to be told");
}

/// What is planned for one guest with one wish, in a word.
fn word(spec: &InstanceSpec, guest: Guest) -> &'static str {
    let desired = desired(orders(vec![spec.clone()], Vec::new(), Vec::new()), storage(vec![], vec![], vec![]));
    match plan(Some(&desired), &machine(vec![guest]), &Memory::default()).as_slice() {
        [] => "nothing",
        [Action::Note { mark }] if mark.order == Order::OffByItself => "note: off by itself",
        [Action::Note { .. }] => "note",
        [Action::Start { again: true, .. }] => "start again",
        [Action::Start { .. }] => "start",
        [Action::Shutdown { .. }] => "shutdown",
        [Action::Kill { .. }] => "kill",
        [Action::Rebuild { mark, .. }] if mark.root_generation == spec.root_generation => "rebuild",
        [Action::Resize { mark, .. }] if mark.is_size_of(spec) => "resize",
        other => panic!("unexpected: {other:?}"),
    }
}

#[test]
fn what_a_guest_that_is_off_means() {
    use OffCause::{Guest as Inside, Host};
    let run = spec(id(9), 5, Power::Running);
    let off = |generation, order, cause| guest(9, generation, order, GuestState::Off(cause));
    for (what, is, expected) in [
        ("killed behind our back", off(5, Order::Running, Host), "start again"),
        ("switched itself off", off(5, Order::Running, Inside), "note: off by itself"),
        ("known to have switched itself off", off(5, Order::OffByItself, Inside), "nothing"),
        ("the host forgot why", off(5, Order::OffByItself, Host), "nothing"),
        ("switched itself off, wished for anew", off(4, Order::OffByItself, Inside), "start"),
        ("never came up", off(5, Order::Start, Host), "start"),
        ("stopped by us, wished for anew", off(4, Order::Stop, Inside), "start"),
        ("half way through a reboot", off(5, Order::Restart(id(1)), Inside), "start"),
        ("told more than the control plane knows", off(6, Order::Stop, Inside), "nothing"),
    ] {
        assert_eq!(word(&run, is), expected, "{what}");
    }
}

#[test]
fn what_a_guest_that_is_on_gets() {
    let on = |generation, order| guest(9, generation, order, GuestState::Running);
    let run = spec(id(9), 5, Power::Running);
    let stop = spec(id(9), 5, Power::Stopped);
    let pull = InstanceSpec { force_stop: true, ..stop.clone() };
    for (what, wish, is, expected) in [
        ("as wished", &run, on(5, Order::Running), "nothing"),
        ("came up, not noted", &run, on(5, Order::Start), "note"),
        ("an unchanged wish of a newer generation", &run, on(4, Order::Running), "note"),
        ("to be stopped", &stop, on(4, Order::Running), "shutdown"),
        ("to be stopped by force", &pull, on(4, Order::Running), "kill"),
        ("an older wish to stop", &stop, on(6, Order::Running), "nothing"),
    ] {
        assert_eq!(word(wish, is), expected, "{what}");
    }
}

#[test]
fn a_guest_is_resized_while_it_is_off_and_before_it_is_started() {
    let large = |power| InstanceSpec { vcpus: Vcpus::new(2), ..spec(id(9), 5, power) };
    let off = |generation| guest(9, generation, Order::Stop, GuestState::Off(OffCause::Guest));
    let on = |order| guest(9, 4, order, GuestState::Running);
    for (what, wish, is, expected) in [
        ("off and to stay off", large(Power::Stopped), off(4), "resize"),
        ("off and to be started", large(Power::Running), off(4), "resize"),
        ("going off", large(Power::Stopped), on(Order::Running), "shutdown"),
        ("on", large(Power::Running), on(Order::Running), "note"),
        ("an older wish", large(Power::Stopped), off(6), "nothing"),
    ] {
        assert_eq!(word(&wish, is), expected, "{what}");
    }
}

#[test]
fn a_root_disk_is_replaced_once_for_each_generation_that_asks_for_it() {
    let asked = |of: i64| InstanceSpec { root_generation: Generation::new(of), ..spec(id(9), 5, Power::Running) };
    let is = |generation, has: i64, state| {
        let mut guest = guest(9, generation, Order::Running, state);
        guest.mark.root_generation = Generation::new(has);
        guest
    };
    let off = GuestState::Off(OffCause::Guest);
    for (what, wish, is, expected) in [
        ("on", asked(5), is(4, 0, GuestState::Running), "rebuild"),
        ("off", asked(5), is(4, 3, off), "rebuild"),
        ("asked for, then stopped and started", asked(3), is(4, 0, GuestState::Running), "rebuild"),
        ("rebuilt already", asked(5), is(5, 5, GuestState::Running), "nothing"),
        ("rebuilt, then asked for something else", asked(3), is(4, 3, GuestState::Running), "note"),
        ("a control plane that has forgotten a rebuild", asked(2), is(4, 3, GuestState::Running), "note"),
        ("an older wish", asked(5), is(6, 0, GuestState::Running), "nothing"),
    ] {
        assert_eq!(word(&wish, is), expected, "{what}");
    }
    let wish = InstanceSpec { power: Power::Stopped, ..asked(5) };
    let rebuilt = is(4, 0, off).mark.rebuilt(&wish);
    assert_eq!(
        (rebuilt.order, rebuilt.root_generation.get()),
        (Order::Stop, 5),
        "one that is to be off is not started"
    );
}

#[test]
fn a_size_that_is_awaited_is_not_reported_as_had() {
    let wish = InstanceSpec { vcpus: Vcpus::new(2), ..spec(id(9), 5, Power::Stopped) };
    let desired = desired(orders(vec![wish.clone()], vec![], vec![]), storage(vec![], vec![], vec![]));
    let guest = guest(9, 4, Order::Stop, GuestState::Off(OffCause::Guest));
    let told = |guest: &Guest, memory: &Memory| {
        let seen = seen::instances(&desired.instances, &machine(vec![guest.clone()]), memory).remove(0);
        (seen.status.to_string(), seen.observed_generation.get())
    };
    let mut memory = Memory::default();
    assert_eq!(told(&guest, &memory), ("stopped".to_owned(), 4));
    for _ in 0..3 {
        memory.end(Subject::Instance(id(9)), Some("the disk is full".to_owned()));
    }
    assert_eq!(told(&guest, &memory), ("failed".to_owned(), 5));
    let resized = Guest { mark: guest.mark.clone().sized(&wish), ..guest };
    assert_eq!(told(&resized, &Memory::default()), ("stopped".to_owned(), 5));
}

#[test]
fn a_guest_that_keeps_dying_rests() {
    let desired =
        desired(orders(vec![spec(id(9), 1, Power::Running)], vec![], vec![]), storage(vec![], vec![], vec![]));
    let dead = machine(vec![guest(9, 1, Order::Running, GuestState::Off(OffCause::Host))]);
    let mut memory = Memory::default();
    let mut starts = 0;
    for second in 0..600 {
        memory.now = Duration::from_secs(second);
        for action in plan(Some(&desired), &dead, &memory) {
            memory.begin(&action);
            memory.end(action.subject(), None);
            starts += 1;
        }
    }
    assert!((10..30).contains(&starts), "{starts} starts in ten minutes");
}

#[test]
fn a_failed_attempt_waits_and_is_told() {
    let wish = spec(id(9), 1, Power::Running);
    let desired = desired(orders(vec![wish], vec![], vec![]), storage(vec![], vec![], vec![]));
    let mut memory = Memory::default();
    let nothing = Observed::default();
    for attempt in 1..=3 {
        let [action] = plan(Some(&desired), &nothing, &memory).try_into().unwrap();
        memory.begin(&action);
        assert_eq!(plan(Some(&desired), &nothing, &memory), [], "busy");
        memory.end(action.subject(), Some("no room".to_owned()));
        assert_eq!(plan(Some(&desired), &nothing, &memory), [], "waits");
        let told = &seen::instances(&desired.instances, &nothing, &memory)[0];
        let expected = if attempt < 3 { "building" } else { "failed" };
        assert_eq!((told.status.to_string().as_str(), told.reason.as_deref()), (expected, Some("no room")));
        memory.now = memory.next_attempt().unwrap();
    }
}

#[test]
fn a_new_wish_is_tried_at_once_and_has_not_failed_yet() {
    let wished = |generation: i64| BTreeMap::from([(id(9), Generation::new(generation))]);
    let wish =
        |n| desired(orders(vec![spec(id(9), n, Power::Running)], vec![], vec![]), storage(vec![], vec![], vec![]));
    let mut memory = Memory::default();
    memory.heard(&wished(1));
    for _ in 0..3 {
        memory.end(Subject::Instance(id(9)), Some("no room".to_owned()));
    }
    memory.heard(&wished(1));
    assert_eq!(plan(Some(&wish(1)), &Observed::default(), &memory), [], "the same wish waits");
    memory.heard(&wished(2));
    assert_eq!(plan(Some(&wish(2)), &Observed::default(), &memory).len(), 1);
    let told = &seen::instances(&wish(2).instances, &Observed::default(), &memory)[0];
    assert_eq!((told.status.to_string().as_str(), told.reason.as_deref()), ("building", None));
}

fn any_order() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Start),
        Just(Order::Running),
        Just(Order::Stop),
        Just(Order::OffByItself),
        (0..3_u128).prop_map(|n| Order::Restart(id(100 + n))),
    ]
}

fn any_state() -> impl Strategy<Value = GuestState> {
    prop_oneof![
        Just(GuestState::Running),
        Just(GuestState::Paused),
        Just(GuestState::Off(OffCause::Guest)),
        Just(GuestState::Off(OffCause::Host)),
    ]
}

fn any_guests() -> impl Strategy<Value = Vec<Guest>> {
    let one = (0..6_u128, 1..4_i64, any_order(), any_state(), proptest::option::of(0..3_u128));
    vec(one, 0..6).prop_map(|drawn| {
        let mut guests: Vec<Guest> = Vec::new();
        for (n, generation, order, state, volume) in drawn {
            let mut guest = guest(n, generation, order, state);
            let taken = |v: u128| guests.iter().any(|other: &Guest| other.disk(id(v)).is_some());
            let disk = volume.filter(|v| !taken(*v)).map(|v| GuestDisk {
                volume_id: id(v),
                device: "vdb".to_owned(),
                kept: true,
                live: state.is_on(),
            });
            guest.disks.extend(disk);
            if guests.iter().all(|other| other.id() != guest.id()) {
                guests.push(guest);
            }
        }
        guests
    })
}

prop_compose! {
    fn any_desired()(
        specs in vec((0..6_u128, 1..4_i64, any::<bool>(), any::<bool>(), 1..3_i64, 0..3_i64), 0..6),
        stones in vec((0..6_u128, 1..4_i64, any::<bool>()), 0..4),
        actions in vec((0..3_u128, 0..6_u128, any::<bool>()), 0..3),
        volumes in vec(0..3_u128, 0..3),
        attachments in vec((0..3_u128, 0..6_u128, any::<bool>()), 0..3),
        gone in vec(0..3_u128, 0..3),
    ) -> Desired {
        let mut wishes: Vec<InstanceSpec> = Vec::new();
        for (n, generation, on, force_stop, vcpus, root) in specs {
            let power = if on { Power::Running } else { Power::Stopped };
            if wishes.iter().all(|wish| wish.id != id(n)) {
                let (vcpus, root_generation) = (Vcpus::new(vcpus), Generation::new(root.min(generation)));
                wishes.push(InstanceSpec { force_stop, vcpus, root_generation, ..spec(id(n), generation, power) });
            }
        }
        let stones = stones.into_iter().map(|(n, generation, now)| Tombstone {
            id: id(n),
            generation: Generation::new(generation),
            epoch: if now { EPOCH } else { "before" }.to_owned(),
        });
        let mut asked: Vec<AssignedAction> = Vec::new();
        for (n, of, reset) in actions {
            let kind = if reset { ActionKind::Reset } else { ActionKind::Reboot };
            if asked.iter().all(|action| action.id != id(100 + n)) {
                asked.push(AssignedAction { id: id(100 + n), instance_id: id(of), kind });
            }
        }
        let mut given: Vec<AttachmentSpec> = Vec::new();
        for (n, of, detach) in attachments {
            // One attachment for each volume: the control plane's promise.
            if given.iter().all(|attachment| attachment.volume_id != id(n)) {
                given.push(AttachmentSpec { id: id(200 + n), volume_id: id(n), instance_id: id(of), detach });
            }
        }
        let volumes = volumes.into_iter().map(|n| VolumeSpec { id: id(n), size_gib: GiB::new(1) }).collect();
        desired(orders(wishes, stones.collect(), asked), storage(volumes, given, gone))
    }
}

/// The guests that an action would harm or change.
fn touched(action: &Action) -> Option<Id<Instance>> {
    match action.subject() {
        Subject::Instance(id) => Some(id),
        _ => None,
    }
}

/// A machine on which actions really happen.
fn simulated(guests: &[Guest], volumes: &Observed) -> Simulated {
    let machine = Simulated::new(Knobs::default());
    machine.put(guests.to_vec(), volumes.volumes.clone());
    machine
}

/// Does all that is planned until nothing is; answers how many rounds that took.
fn settle(desired: &Desired, machine: &Simulated) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut memory = Memory::default();
    // What was seen going off is not pressed again at once: look twice, with a long time in between.
    memory.saw(&machine.look().guests);
    for round in 0..20 {
        memory.now += Duration::from_mins(10);
        let observed = machine.look();
        memory.saw(&observed.guests);
        let actions = plan(Some(desired), &observed, &memory);
        if actions.is_empty() {
            return round;
        }
        for action in actions {
            memory.begin(&action);
            let done = runtime.block_on(act::perform(&action, machine));
            memory.end(action.subject(), None);
            done.unwrap_or_else(|failure| panic!("{action:?}: {}", failure.with_causes()));
        }
    }
    panic!("the plan never comes to rest: {:?}", plan(Some(desired), &machine.look(), &memory));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_a_tombstone_of_this_epoch_that_is_not_too_old_removes(desired in any_desired(), guests in any_guests()) {
        let observed = machine(guests);
        for action in plan(Some(&desired), &observed, &Memory::default()) {
            let Action::Remove { id } = action else { continue };
            let held = observed.guest(id).map(|guest| guest.mark.generation);
            let stone = desired.instances.tombstones.iter().find(|stone| {
                stone.id == id && stone.epoch == desired.instances.epoch && held.is_none_or(|held| stone.generation >= held)
            });
            prop_assert!(stone.is_some(), "{id} was to be removed without a reason");
        }
    }

    #[test]
    fn what_nobody_asked_for_is_left_alone(desired in any_desired(), guests in any_guests()) {
        let observed = machine(guests);
        for action in plan(Some(&desired), &observed, &Memory::default()) {
            let Some(id) = touched(&action) else { continue };
            let listed = desired.instances.manifest.contains_key(&id);
            let buried = desired.instances.tombstones.iter().any(|stone| stone.id == id);
            let losing = matches!(action, Action::Detach { .. });
            prop_assert!(listed || buried || losing, "{action:?} touches an unclaimed guest");
            let powers = matches!(action, Action::Build { .. } | Action::Start { .. } | Action::Kill { .. });
            prop_assert!(listed || !powers);
        }
    }

    #[test]
    fn without_orders_nothing_is_done(guests in any_guests()) {
        prop_assert_eq!(plan(None, &machine(guests), &Memory::default()), []);
    }

    #[test]
    fn a_volume_in_a_guest_is_never_removed(desired in any_desired(), guests in any_guests()) {
        let mut observed = machine(guests);
        observed.volumes = (0..3).map(id).collect();
        for action in plan(Some(&desired), &observed, &Memory::default()) {
            if let Action::RemoveVolume { id } = action {
                prop_assert!(observed.holder(id).is_none());
                prop_assert!(desired.storage.volume_tombstones.contains(&id));
            }
        }
    }

    #[test]
    fn nothing_is_worked_on_twice_at_a_time(desired in any_desired(), guests in any_guests()) {
        let mut subjects: Vec<_> = plan(Some(&desired), &machine(guests), &Memory::default()).iter().map(Action::subject).collect();
        let all = subjects.len();
        subjects.sort();
        subjects.dedup();
        prop_assert_eq!(all, subjects.len());
    }

    #[test]
    fn doing_what_is_planned_comes_to_rest(desired in any_desired(), guests in any_guests()) {
        let mut observed = machine(guests);
        observed.volumes = (0..3).map(id).collect();
        let machine = simulated(&observed.guests, &observed);
        settle(&desired, &machine);
        prop_assert_eq!(settle(&desired, &machine), 0, "what is at rest stays so");
        for guest in machine.look().guests {
            let Some(spec) = desired.instances.spec(guest.id()) else { continue };
            if guest.mark.generation <= spec.generation {
                prop_assert!(guest.mark.root_generation >= spec.root_generation);
            }
            if guest.mark.generation <= spec.generation && !guest.state.is_on() {
                prop_assert!(guest.mark.is_size_of(spec));
            }
            if guest.mark.generation == spec.generation && guest.mark.order != Order::OffByItself {
                prop_assert_eq!(guest.state.is_on(), spec.power == Power::Running);
            }
        }
    }
}

#[test]
fn the_simulated_machine_is_a_hypervisor() {
    fn is<H: Hypervisor>() {}
    is::<Simulated>();
}

#[test]
fn an_instance_is_not_gone_while_something_is_done_to_it() {
    let stone = Tombstone { id: id(9), generation: Generation::new(5), epoch: EPOCH.to_owned() };
    let orders = desired(orders(Vec::new(), vec![stone], Vec::new()), storage(vec![], vec![], vec![]));
    let mut memory = Memory::default();
    memory.busy.insert(Subject::Instance(id(9)));
    let nothing = Observed::default();
    assert_eq!(seen::gone(&orders.instances, &nothing, &memory), []);
    memory.end(Subject::Instance(id(9)), None);
    assert_eq!(seen::gone(&orders.instances, &nothing, &memory).len(), 1);
}
