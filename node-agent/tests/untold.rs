//! What is told of what has changed is the same as telling all.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    Generation, Id,
    compute::{
        Instance,
        assignment::{AssignedInstance, NodeAssignment, Tombstone},
        instance::{InstanceStatus, Power},
        report::InstanceSeen,
    },
};
use cirro_node_agent_core::{
    desired::Instances,
    guest::{Guest, GuestState, Mark, OffCause, Order},
    hypervisor::Observed,
    memory::Memory,
    plan::Subject,
    seen::{self, Told, Untold},
};
use kit::{id, spec};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::select,
};
use std::collections::BTreeMap;

/// What there is to be told: orders, guests and what has failed.
#[derive(Debug)]
struct Site {
    orders: Instances,
    observed: Observed,
    memory: Memory,
}

impl Site {
    fn instances(&self) -> BTreeMap<Id<Instance>, InstanceSeen> {
        let all = seen::instances(&self.orders, &self.observed, &self.memory);
        all.into_iter().map(|seen| (seen.id, seen)).collect()
    }
}

fn any_guest() -> impl Strategy<Value = Guest> {
    let order = select(vec![Order::Running, Order::Running, Order::Start, Order::Stop]);
    let on = GuestState::Running;
    let state = select(vec![on, on, GuestState::Paused, GuestState::Off(OffCause::Guest)]);
    (1..3_i64, order, state, select(vec![None, Some("10.0.0.1"), Some("10.0.0.2")])).prop_map(
        |(generation, order, state, address)| {
            let mark = Mark::of(&spec(id(0), generation, Power::Running)).ordering(order);
            Guest { mark, state, disks: Vec::new(), address: address.map(str::to_owned) }
        },
    )
}

prop_compose! {
    fn any_site()(
        wishes in btree_map(0..8_u128, (1..3_i64, prop::bool::weighted(0.8), prop::bool::weighted(0.8)), 0..8),
        guests in btree_map(0..8_u128, any_guest(), 0..8),
        stones in vec((0..8_u128, 1..3_i64), 0..2),
        failed in vec(0..8_u128, 0..2),
    ) -> Site {
        let power = |on: bool| if on { Power::Running } else { Power::Stopped };
        let specs = wishes.iter().map(|(n, (generation, on, _))| spec(id(*n), *generation, power(*on)));
        let specs: Vec<_> = specs.collect();
        let stones = stones.into_iter();
        let orders = NodeAssignment {
            epoch: "now".to_owned(),
            revision: "1".to_owned(),
            // in an order of its own: nothing promises one
            manifest: specs.iter().rev().map(|spec| AssignedInstance { id: spec.id, generation: spec.generation }).collect(),
            instances: specs.iter().filter(|spec| wishes[&spec.id.uuid().as_u128()].2).cloned().collect(),
            tombstones: stones
                .map(|(n, generation)| Tombstone { id: id(n), generation: Generation::new(generation), epoch: "now".to_owned() })
                .collect(),
            actions: Vec::new(),
            console_logs: Vec::new(),
            requests: BTreeMap::new(),
        };
        let named = guests.into_iter().map(|(n, guest)| Guest { mark: Mark { id: id(n), ..guest.mark }, ..guest });
        let mut memory = Memory::default();
        for n in failed {
            memory.end(Subject::Instance(id(n)), Some("the disk is full".to_owned()));
        }
        let observed = Observed { guests: named.collect(), ..Observed::default() };
        Site { orders: Instances::absorb(None, orders), observed, memory }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_told_and_what_is_untold_are_all(before in any_site(), now in any_site()) {
        let mut told: Told = before.instances().into_iter().collect();
        let untold = Untold::of(&now.orders, &now.observed, &now.memory, &told);
        for seen in &untold.instances {
            prop_assert!(told.get(seen.id) != Some(seen), "{} was told already", seen.id);
        }
        untold.unseen.into_iter().for_each(|id| told.remove(id));
        untold.instances.into_iter().for_each(|seen| told.insert(seen.id, seen));
        let told: BTreeMap<_, _> = told.iter().map(|(id, seen)| (id, seen.clone())).collect();
        prop_assert_eq!(told, now.instances());
    }

    #[test]
    fn all_that_is_ordered_and_is_not_to_go_is_told(site in any_site()) {
        let orders = &site.orders;
        let to_go = |id| orders.tombstone(id, site.observed.guest(id).map(|guest| guest.mark.generation)).is_some();
        let listed = (0..8).map(id).filter(|id| orders.spec(*id).is_some() && !to_go(*id));
        prop_assert_eq!(site.instances().into_keys().collect::<Vec<_>>(), listed.collect::<Vec<_>>());
        let nobodys = (0..8).map(id).filter(|id| site.observed.guest(*id).is_some() && !orders.manifest.contains_key(id));
        let unclaimed = seen::unclaimed(orders, &site.observed);
        let unclaimed: Vec<_> = unclaimed.into_iter().map(|seen| seen.id).collect();
        prop_assert_eq!(unclaimed, nobodys.filter(|id| !to_go(*id)).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_at_rest_is_told_again_when_an_attempt_at_it_has_failed() {
    let (wish, mut memory) = (spec(id(7), 1, Power::Running), Memory::default());
    let mark = Mark::of(&wish).ordering(Order::Running);
    let guest = Guest { mark, state: GuestState::Running, disks: Vec::new(), address: None };
    let observed = Observed { guests: vec![guest], ..Observed::default() };
    let manifest = vec![AssignedInstance { id: wish.id, generation: wish.generation }];
    let orders = Instances::absorb(
        None,
        NodeAssignment {
            epoch: "now".to_owned(),
            revision: "1".to_owned(),
            manifest,
            instances: vec![wish],
            tombstones: Vec::new(),
            actions: Vec::new(),
            console_logs: Vec::new(),
            requests: BTreeMap::new(),
        },
    );
    let told: Told = seen::instances(&orders, &observed, &memory).into_iter().map(|seen| (seen.id, seen)).collect();
    assert_eq!(told.get(id(7)).unwrap().status, InstanceStatus::Running);
    assert!(Untold::of(&orders, &observed, &memory, &told).instances.is_empty());
    // a volume that it can't be given, say
    memory.end(Subject::Instance(id(7)), Some("no such disk".to_owned()));
    let untold = Untold::of(&orders, &observed, &memory, &told);
    assert_eq!(untold.instances[0].reason.as_deref(), Some("no such disk"));
}
