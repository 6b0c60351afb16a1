//! What holds for every plan, and what a few must be.

use super::*;
use cirro_models::{
    Id, Labels,
    compute::{
        node::{NodeMode, NodeStatus},
        placement::PlacementPolicy,
    },
};
use proptest::prelude::*;

fn need(vcpus: i64, memory: i64, disk: i64) -> Need {
    Need::of([vcpus, memory, disk])
}

fn node(n: u128, claimed: Need) -> Candidate {
    Candidate {
        id: Id::from_uuid(uuid::Uuid::from_u128(n)),
        status: NodeStatus::Ready,
        mode: NodeMode::Active,
        failing: false,
        capacity: need(8, 8192, 100),
        claimed,
        labels: Labels::from([("rack".to_owned(), format!("r{}", n % 3))]),
    }
}

fn asked(name: &str, need: Need, count: i64) -> Asked {
    Asked { name: name.to_owned(), need, count }
}

fn one(need: Need, nodes: &[Candidate], policy: &PlacementPolicy) -> Result<usize, Error> {
    let groups = [asked("x", need, 1)];
    let (id, _) = place(&Request { groups: &groups, rules: &[], policy, seed: 0, without: &[], present: &[] }, nodes)?;
    Ok(nodes.iter().position(|node| node.id == id).unwrap())
}

#[test]
fn a_policy_spreads_or_packs() {
    let nodes = [node(1, need(4, 1024, 10)), node(2, need(0, 0, 0))];
    assert_eq!(one(need(1, 512, 5), &nodes, &PlacementPolicy::Spread).unwrap(), 1);
    assert_eq!(one(need(1, 512, 5), &nodes, &PlacementPolicy::BestFit).unwrap(), 0);
}

#[test]
fn a_refusal_counts_its_reasons_and_names_a_fix() {
    let mut drained = node(1, need(7, 0, 0));
    drained.mode = NodeMode::Drain;
    let nodes = [drained, node(2, need(8, 0, 0)), node(3, need(7, 0, 0))];
    let Err(Error::NoCapacity { detail, reasons }) = one(need(2, 512, 5), &nodes, &PlacementPolicy::Spread) else {
        panic!("it must be refused")
    };
    assert!(detail.contains("at most 1 vCPUs") && detail.contains("smaller flavor"), "{detail}");
    assert_eq!(reasons, ["2 of 3 nodes: has too few free vCPUs", "1 of 3 nodes: takes no new instances"]);
}

#[test]
fn a_drained_node_with_room_is_named_before_a_smaller_flavor() {
    let mut drained = node(1, need(0, 0, 0));
    drained.mode = NodeMode::Drain;
    let nodes = [drained, node(2, need(7, 0, 0))];
    let error = one(need(2, 512, 5), &nodes, &PlacementPolicy::Spread).unwrap_err().to_string();
    assert!(error.contains("cirro node return"), "{error}");
}

#[test]
fn the_placement_tells_how_it_was_chosen() {
    let nodes = [node(1, need(4, 0, 0)), node(2, need(0, 0, 0)), node(3, need(8, 0, 0))];
    let groups = [asked("x", need(2, 0, 0), 1)];
    let request =
        Request { groups: &groups, rules: &[], policy: &PlacementPolicy::Spread, seed: 0, without: &[], present: &[] };
    let (_, placement) = place(&request, &nodes).unwrap();
    assert_eq!((placement.considered.get(), placement.score, placement.runner_up), (3, 750, Some(250)));
    assert_eq!(placement.refused, [("has too few free vCPUs".to_owned(), 1)].into());
}

#[test]
fn contradictions_are_found_also_through_a_third_group() {
    let rule = |kind, groups: &[usize]| Rule { kind, groups: groups.to_vec(), required: true };
    let (together, apart) = (|groups| rule(RuleKind::Together, groups), |groups| rule(RuleKind::Apart, groups));
    assert_eq!(contradiction(&[together(&[0, 1]), together(&[1, 2]), apart(&[0, 2])], &[1, 1, 1]), Some((0, 2)));
    assert_eq!(contradiction(&[together(&[0]), apart(&[0])], &[2]), Some((0, 0)));
    assert_eq!(contradiction(&[together(&[0]), apart(&[0])], &[1]), None);
    assert_eq!(contradiction(&[together(&[0, 1]), apart(&[0, 2])], &[1, 1, 1]), None);
    let mut preferred = apart(&[0, 1]);
    preferred.required = false;
    assert_eq!(contradiction(&[together(&[0, 1]), preferred], &[1, 1]), None);
}

#[test]
fn three_tiers_go_apart_together_and_over_racks() {
    let nodes: Vec<_> = (1..=6).map(|n| node(n, need(0, 0, 0))).collect();
    let groups =
        [asked("web", need(1, 512, 1), 6), asked("cache", need(1, 512, 1), 2), asked("db", need(2, 512, 1), 3)];
    let rules = [
        Rule { kind: RuleKind::Spread("rack".to_owned()), groups: vec![0], required: true },
        Rule { kind: RuleKind::Together, groups: vec![1], required: true },
        Rule { kind: RuleKind::Apart, groups: vec![2], required: true },
        Rule { kind: RuleKind::Apart, groups: vec![1, 2], required: true },
    ];
    let request = Request {
        groups: &groups,
        rules: &rules,
        policy: &PlacementPolicy::Spread,
        seed: 1,
        without: &[],
        present: &[],
    };
    let planned = plan(&request, &nodes);
    assert_eq!(planned.placed(), 11);
    let of = |group: usize| planned.groups[group].spots.iter().flatten().map(|spot| spot.node).collect::<Vec<_>>();
    for rack in 0..3 {
        assert_eq!(of(0).iter().filter(|node| (**node + 1) % 3 == rack).count(), 2, "{:?}", of(0));
    }
    assert_eq!(of(1)[0], of(1)[1]);
    let mut dbs = of(2);
    dbs.sort_unstable();
    dbs.dedup();
    assert!(dbs.len() == 3 && !dbs.contains(&of(1)[0]));
}

#[test]
fn what_was_tried_is_passed_over_and_rules_count_what_is_there() {
    let nodes: Vec<_> = (1..=4).map(|n| node(n, need(0, 0, 0))).collect();
    let groups = [asked("db", need(1, 0, 0), 1)];
    let rules = [Rule { kind: RuleKind::Apart, groups: vec![0], required: true }];
    let policy = PlacementPolicy::Spread;
    let mut request = Request { groups: &groups, rules: &rules, policy: &policy, seed: 0, without: &[], present: &[] };
    let (without, present) = ([nodes[0].id, nodes[1].id], [(0, nodes[2].id)]);
    (request.without, request.present) = (&without, &present);
    let (id, placement) = place(&request, &nodes).unwrap();
    assert_eq!(id, nodes[3].id);
    let told = [("was tried before", 2), ("holds instances that must be on different nodes", 1)];
    assert_eq!(placement.refused, told.map(|(text, count)| (text.to_owned(), count)).into());
    let reasons = place(&request, &nodes[..3]).unwrap_err();
    assert!(matches!(reasons, Error::NoCapacity { .. }), "{reasons}");
}

#[test]
fn a_node_that_keeps_failing_is_left_alone_and_waiting_helps() {
    let mut ill = node(1, need(0, 0, 0));
    ill.failing = true;
    let nodes = [ill, node(2, need(8, 0, 0))];
    let error = one(need(1, 0, 0), &nodes, &PlacementPolicy::Spread).unwrap_err().to_string();
    assert!(error.contains("keep failing") && error.contains("wait"), "{error}");
}

type Rough = (Vec<(i64, i64, i64, u8)>, Vec<(i64, i64, i64, i64)>, Vec<(u8, Vec<usize>, bool)>, bool, u64);

fn anything() -> impl Strategy<Value = Rough> {
    (
        prop::collection::vec((0i64..10, 0i64..9000, 0i64..120, 0u8..8), 0..7),
        prop::collection::vec((0i64..6, 0i64..5000, 0i64..60, 1i64..6), 1..4),
        prop::collection::vec((0u8..3, prop::collection::vec(0usize..4, 1..3), any::<bool>()), 0..4),
        any::<bool>(),
        any::<u64>(),
    )
}

fn made(rough: &Rough) -> (Vec<Candidate>, Vec<Asked>, Vec<Rule>, PlacementPolicy) {
    let (nodes, groups, rules, packs, _) = rough;
    let candidate = |(n, (vcpus, memory, disk, state)): (usize, &(i64, i64, i64, u8))| {
        let mut made = node(n as u128, need(*vcpus, *memory, *disk));
        made.mode = match state {
            0 => NodeMode::Drain,
            4 => NodeMode::Maintenance,
            _ => NodeMode::Active,
        };
        made.failing = *state == 3;
        made.status = if *state == 1 { NodeStatus::Silent } else { NodeStatus::Ready };
        if *state == 2 {
            made.labels.clear();
        }
        made
    };
    let groups: Vec<_> = groups.iter().map(|group| asked("g", need(group.0, group.1, group.2), group.3)).collect();
    let rule = |(kind, of, required): &(u8, Vec<usize>, bool)| {
        let kind = match kind {
            0 => RuleKind::Apart,
            1 => RuleKind::Together,
            _ => RuleKind::Spread("rack".to_owned()),
        };
        let of: std::collections::BTreeSet<_> = of.iter().map(|group| group % groups.len()).collect();
        Rule { kind, groups: of.into_iter().collect(), required: *required }
    };
    let rules = rules.iter().map(rule).collect();
    let policy = if *packs { PlacementPolicy::BestFit } else { PlacementPolicy::Spread };
    (nodes.iter().enumerate().map(candidate).collect(), groups, rules, policy)
}

/// The node of each instance, by group.
fn places(planned: &Planned) -> Vec<Vec<usize>> {
    planned.groups.iter().map(|group| group.spots.iter().flatten().map(|spot| spot.node).collect()).collect()
}

fn holds(rule: &Rule, places: &[Vec<usize>], nodes: &[Candidate]) -> bool {
    let members: Vec<(usize, usize)> =
        rule.groups.iter().flat_map(|group| places[*group].iter().map(move |node| (*group, *node))).collect();
    match &rule.kind {
        RuleKind::Together => members.windows(2).all(|pair| pair[0].1 == pair[1].1),
        RuleKind::Apart => members.iter().enumerate().all(|(n, one)| {
            let clash = |other: &(usize, usize)| one.1 == other.1 && (rule.groups.len() == 1 || one.0 != other.0);
            !members[n + 1..].iter().any(clash)
        }),
        RuleKind::Spread(label) => {
            let mut counts: std::collections::BTreeMap<&str, i64> = nodes
                .iter()
                .filter(|node| node.usable().is_none())
                .filter_map(|node| Some((node.labels.get(label)?.as_str(), 0)))
                .collect();
            for (_, node) in &members {
                let Some(value) = nodes[*node].labels.get(label) else { return false };
                *counts.entry(value).or_default() += 1;
            }
            counts.values().max().unwrap_or(&0) - counts.values().min().unwrap_or(&0) <= 1
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn never_more_than_there_is_nor_against_a_rule(rough in anything()) {
        let (nodes, groups, rules, policy) = made(&rough);
        let request = Request { groups: &groups, rules: &rules, policy: &policy, seed: rough.4, without: &[], present: &[] };
        let planned = plan(&request, &nodes);
        let mut left: Vec<_> = nodes.iter().map(Candidate::free).collect();
        for (group, asked) in planned.groups.iter().zip(&groups) {
            prop_assert_eq!(i64::try_from(group.spots.len()).unwrap(), asked.count);
            for spot in group.spots.iter().flatten() {
                prop_assert!(nodes[spot.node].usable().is_none());
                let taken = asked.need.numbers();
                left[spot.node] = std::array::from_fn(|n| left[spot.node][n] - taken[n]);
                prop_assert!(taken.iter().zip(left[spot.node]).all(|(taken, left)| *taken == 0 || left >= 0));
            }
        }
        let places = places(&planned);
        for rule in rules.iter().filter(|rule| rule.required) {
            prop_assert!(holds(rule, &places, &nodes), "{:?} does not hold in {:?}", rule, places);
        }
        let again = plan(&request, &nodes);
        prop_assert_eq!(format!("{:?}", planned.groups), format!("{:?}", again.groups));
    }

    #[test]
    fn as_many_fit_as_are_placed(rough in anything()) {
        let (nodes, groups, _, policy) = made(&rough);
        let need = groups[0].need;
        let (room, _) = room(&need, &nodes);
        let groups = [asked("g", need, room.min(100) + 1)];
        let planned = plan(&Request { groups: &groups, rules: &[], policy: &policy, seed: rough.4, without: &[], present: &[] }, &nodes);
        prop_assert_eq!(i64::try_from(planned.placed()).unwrap(), room.min(101));
    }

    #[test]
    fn what_has_no_place_says_why_and_the_named_change_helps(rough in anything()) {
        let (mut nodes, groups, _, policy) = made(&rough);
        let groups = [asked("g", groups[0].need, 1)];
        let request = Request { groups: &groups, rules: &[], policy: &policy, seed: rough.4, without: &[], present: &[] };
        let planned = plan(&request, &nodes);
        let Some(fix) = &planned.groups[0].fix else {
            prop_assert_eq!(planned.placed(), 1);
            return Ok(());
        };
        let short = planned.short(&request, &nodes);
        let told: i64 = short[0].reasons.iter().filter_map(|reason| reason.split(' ').next()?.parse::<i64>().ok()).sum();
        prop_assert_eq!(usize::try_from(told).unwrap(), nodes.len(), "each node has one reason");
        let asked = match fix.change {
            Change::Open(node) => {
                nodes[node].mode = NodeMode::Active;
                groups[0].clone()
            }
            Change::Smaller(need) => Asked { need, ..groups[0].clone() },
            Change::Add => {
                nodes.push(node(1000, need(0, 0, 0)));
                groups[0].clone()
            }
            Change::Wake => {
                prop_assert!(nodes.iter().all(|node| node.usable().is_some()));
                return Ok(());
            }
            Change::Wait(node) => {
                nodes[node].failing = false;
                groups[0].clone()
            }
            Change::Relax => return Err(TestCaseError::fail("there is no relationship")),
        };
        let changed = [asked];
        prop_assert_eq!(plan(&Request { groups: &changed, ..request }, &nodes).placed(), 1, "{:?} does not help", fix);
    }
}
