//! Whether an instance gets more of the node that it is on.

use crate::schedule::node::{Candidate, Need, lacks};
use cirro_models::Error;

/// Refuses what its node has no room for. Less of something is always possible, also on a node that holds too much.
///
/// # Errors
/// `NoCapacity` with what is missing there.
pub fn require_growth(instance: &str, from: &Need, to: &Need, node: &Candidate) -> Result<(), Error> {
    let (before, after, free) = (from.numbers(), to.numbers(), node.free());
    let more: [i64; 3] = std::array::from_fn(|n| (after[n] - before[n]).max(0));
    if lacks(free, more).is_none() {
        return Ok(());
    }
    let parts = [" vCPUs", " MiB of memory", " GiB of disk"];
    let missing = |n: usize| more[n] - free[n].max(0);
    let short = (0..3).filter(|n| more[*n] > 0 && missing(*n) > 0);
    let missing: Vec<_> = short.map(|n| format!("{}{}", missing(n), parts[n])).collect();
    let left = Need::of(free.map(|free| free.max(0)));
    Err(Error::NoCapacity {
        detail: format!(
            "instance {instance} can't grow to {to} where it is: its node lacks {}; use a smaller flavor, delete \
             something there, or launch a new instance and move to it",
            missing.join(" and ")
        ),
        reasons: vec![format!("its node has {left} left")],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::{
        Id, Labels,
        compute::node::{NodeMode, NodeStatus},
    };
    use proptest::prelude::*;

    fn node(capacity: [i64; 3], claimed: [i64; 3]) -> Candidate {
        let (capacity, claimed) = (Need::of(capacity), Need::of(claimed));
        let (status, labels) = (NodeStatus::Ready, Labels::new());
        Candidate { id: Id::new(), status, mode: NodeMode::Active, failing: false, capacity, claimed, labels }
    }

    #[test]
    fn a_refusal_says_by_how_much() {
        let node = node([8, 1024, 100], [6, 1000, 90]);
        let grow = |to| require_growth("web1", &Need::of([2, 500, 10]), &Need::of(to), &node);
        assert!(grow([4, 524, 20]).is_ok());
        let Err(Error::NoCapacity { detail, reasons }) = grow([5, 525, 20]) else { panic!("it does not fit") };
        assert!(detail.contains("its node lacks 1 vCPUs and 1 MiB of memory;"), "{detail}");
        assert_eq!(reasons, ["its node has 2 vCPUs, 24 MiB and 10 GiB of disk left"]);
    }

    proptest! {
        #[test]
        fn it_grows_exactly_where_the_node_holds_it_afterwards(
            capacity in proptest::array::uniform3(0..20_i64),
            others in proptest::array::uniform3(0..20_i64),
            from in proptest::array::uniform3(0..10_i64),
            to in proptest::array::uniform3(0..10_i64),
        ) {
            let claimed = std::array::from_fn(|n| others[n] + from[n]);
            let grown = require_growth("web1", &Need::of(from), &Need::of(to), &node(capacity, claimed));
            let fits = (0..3).all(|n| to[n] <= from[n] || others[n] + to[n] <= capacity[n]);
            prop_assert_eq!(grown.is_ok(), fits);
        }
    }
}
