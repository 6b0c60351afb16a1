//! When a node counts as lost: pure decisions, from how long it was not heard of, or was known to be
//! stuck, by this process's monotonic clock.

use cirro_models::compute::node::NodeStatus;
use std::time::Duration;

/// How long nodes may be silent, and how long what they do may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A node that has not called for this long is silent.
    pub silent: Duration,
    /// After this long it is fenced. Twice as long by default: when many fall silent together, because a switch is broken, all
    /// of them are known to be silent before the first is fenced.
    pub lost: Duration,
    /// A node is stuck when something that it has begun takes longer. Once that is known for as long as nodes may be silent, it
    /// is fenced: by then others that hang for the same cause are known, too.
    pub stuck: Duration,
}

impl Patience {
    /// With nodes silent after this long.
    pub const fn of(silent: Duration) -> Self {
        Self { silent, lost: silent.saturating_mul(2), stuck: Duration::from_mins(5) }
    }
}
impl Default for Patience {
    fn default() -> Self {
        Self::of(Duration::from_secs(60))
    }
}

/// What a process knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight<'a> {
    /// Its status in the database.
    pub status: &'a NodeStatus,
    /// Whether it is in maintenance: then nobody minds its silence.
    pub in_maintenance: bool,
    /// For how long it has not called any process.
    pub silent_for: Duration,
    /// Whether it has called at all since this process began: its time begins with the process, too.
    pub called: bool,
    /// For how long this process has known it to be stuck.
    pub stuck_for: Duration,
}

/// What to do about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Leave,
    /// Mark it as silent.
    Silent,
    /// It is heard of again: mark it as ready.
    Back,
    /// Fence it, if there is something to be taken over.
    Lost,
}

/// What to do about one node.
pub fn judge(sight: Sight<'_>, patience: Patience, many: bool) -> Verdict {
    match sight.status {
        NodeStatus::Ready | NodeStatus::Stuck if sight.silent_for > patience.silent => Verdict::Silent,
        NodeStatus::Silent if sight.called && sight.silent_for <= patience.silent => Verdict::Back,
        NodeStatus::Silent if sight.silent_for > patience.lost => lost(sight, many),
        NodeStatus::Stuck if sight.stuck_for > patience.silent => lost(sight, many),
        _ => Verdict::Leave,
    }
}

fn lost(sight: Sight<'_>, many: bool) -> Verdict {
    if sight.in_maintenance || many { Verdict::Leave } else { Verdict::Lost }
}

/// Whether so many nodes are silent or stuck at once that the control plane, or what lies between or what they share, is more likely to be at fault: two at
/// least, and more than 20 % of those that should be heard of.
pub fn are_many(ill: usize, all: usize) -> bool {
    ill >= 2 && ill * 5 > all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_becomes_loss_only_with_time_and_alone() {
        let patience = Patience::of(Duration::from_secs(60));
        let judged = |status: &NodeStatus, seconds, in_maintenance, many| {
            let (silent_for, stuck_for) = (Duration::from_secs(seconds), Duration::ZERO);
            judge(Sight { status, in_maintenance, silent_for, called: true, stuck_for }, patience, many)
        };
        let (ready, silent) = (NodeStatus::Ready, NodeStatus::Silent);
        assert_eq!(judged(&ready, 60, false, false), Verdict::Leave);
        assert_eq!(judged(&ready, 500, false, true), Verdict::Silent, "silence is told however many there are");
        assert_eq!(judged(&silent, 120, false, false), Verdict::Leave);
        assert_eq!(judged(&silent, 121, false, false), Verdict::Lost);
        assert_eq!(judged(&silent, 500, false, true), Verdict::Leave);
        assert_eq!(judged(&silent, 500, true, false), Verdict::Leave);
        for status in [NodeStatus::Joining, NodeStatus::Fencing, NodeStatus::Fenced] {
            assert_eq!(judged(&status, 500, false, false), Verdict::Leave, "{status}");
        }
    }

    #[test]
    fn a_silent_node_is_back_when_it_calls_and_not_because_this_process_has_just_begun() {
        let patience = Patience::of(Duration::from_secs(60));
        let judged = |status: &NodeStatus, called, seconds| {
            let (silent_for, stuck_for) = (Duration::from_secs(seconds), Duration::ZERO);
            judge(Sight { status, in_maintenance: false, silent_for, called, stuck_for }, patience, false)
        };
        assert_eq!(judged(&NodeStatus::Silent, true, 60), Verdict::Back);
        assert_eq!(judged(&NodeStatus::Silent, true, 61), Verdict::Leave);
        assert_eq!(judged(&NodeStatus::Silent, false, 0), Verdict::Leave);
        for status in
            [NodeStatus::Joining, NodeStatus::Ready, NodeStatus::Stuck, NodeStatus::Fencing, NodeStatus::Fenced]
        {
            assert_eq!(judged(&status, true, 0), Verdict::Leave, "{status}");
        }
    }

    #[test]
    fn a_stuck_node_is_lost_once_others_would_be_known_too_and_may_still_fall_silent() {
        let patience = Patience::of(Duration::from_secs(60));
        let judged = |silent, stuck, in_maintenance, many| {
            let (silent_for, stuck_for) = (Duration::from_secs(silent), Duration::from_secs(stuck));
            judge(
                Sight { status: &NodeStatus::Stuck, in_maintenance, silent_for, called: true, stuck_for },
                patience,
                many,
            )
        };
        assert_eq!(judged(5, 60, false, false), Verdict::Leave);
        assert_eq!(judged(5, 61, false, false), Verdict::Lost);
        assert_eq!(judged(5, 61, true, false), Verdict::Leave, "somebody works on it");
        assert_eq!(judged(5, 61, false, true), Verdict::Leave, "many hang");
        assert_eq!(judged(61, 61, false, true), Verdict::Silent);
    }

    #[test]
    fn more_than_a_fifth_is_many_but_one_never_is() {
        for (silent, all, many) in
            [(0, 0, false), (1, 1, false), (1, 3, false), (2, 9, true), (2, 10, false), (21, 100, true)]
        {
            assert_eq!(are_many(silent, all), many, "{silent} of {all}");
        }
    }
}
