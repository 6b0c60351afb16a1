//! Nodes that report, and do not finish what they have begun: their hypervisor hangs, or a disk under it. The agent says for how
//! long it has been at it, by its own monotonic clock; an agent that hangs itself says nothing, and is silent.

use super::waiting;
use cirro_models::{
    Result,
    alert::{Alert, Bell},
    compute::{
        Node,
        node::{NodeMode, NodeStatus, Stuck},
        report::UnderWay,
    },
};
use cirro_server::Tx;
use std::time::Duration;

/// The longest name of an action that is taken over from a node, in characters.
const LONGEST: usize = 200;

static BELL: Bell = Bell::new(Alert::NodeStuck);

/// What a node is stuck at, by what it tells; nothing, unless that takes longer than it may.
pub(crate) fn at(before: Option<&Stuck>, told: Option<&UnderWay>, longest: Duration) -> Option<Stuck> {
    let told = told.filter(|told| Duration::from_secs(told.for_s) >= longest)?;
    let what: String = told.what.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    // what was told before stays as it was: a heartbeat must not cost a write
    let same = before.filter(|before| before.what == what).cloned();
    same.or_else(|| Some(Stuck { what, for_s: i64::try_from(told.for_s).unwrap_or(i64::MAX) }))
}

/// Lets the instances on their way there say what they wait for, or that they wait no longer.
pub(crate) fn tell_instances(tx: &mut Tx<'_>, before: &Node, now: &Node) -> Result<()> {
    if now.stuck.is_some() {
        return if now.stuck == before.stuck { Ok(()) } else { waiting::say(tx, now) };
    }
    let was_missed = matches!(before.status, NodeStatus::Silent | NodeStatus::Stuck | NodeStatus::Fenced);
    if was_missed { waiting::unsay(tx, now) } else { Ok(()) }
}

/// Whether a node has become stuck just now, and somebody minds.
pub(crate) fn is_news(before: &Node, now: &Node) -> bool {
    now.status == NodeStatus::Stuck && before.status != NodeStatus::Stuck && now.mode != NodeMode::Maintenance
}

/// Raises the alert, once for each time that a node becomes stuck.
pub(crate) fn ring(node: &Node) {
    let Some(stuck) = &node.stuck else { return };
    tracing::info!(node = %node.name, "node.stuck: it has not finished {stuck}");
    BELL.ring(|| {
        format!(
            "node {} has not finished {stuck}: nothing new is placed there; look at its hypervisor and its disks, and see \
             `cirro node list --status stuck` for others",
            node.name
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_kept_as_it_was_told_first() {
        let limit = Duration::from_secs(300);
        let told = |what: &str, for_s| Some(UnderWay { what: what.to_owned(), for_s });
        let stuck = |what: &str, for_s| Some(Stuck { what: what.to_owned(), for_s });
        assert_eq!(at(None, None, limit), None);
        assert_eq!(at(None, told("a", 299).as_ref(), limit), None);
        assert_eq!(at(None, told("a", 301).as_ref(), limit), stuck("a", 301));
        assert_eq!(at(stuck("a", 301).as_ref(), told("a", 311).as_ref(), limit), stuck("a", 301));
        assert_eq!(at(stuck("a", 301).as_ref(), told("b", 302).as_ref(), limit), stuck("b", 302));
        assert_eq!(at(stuck("a", 301).as_ref(), told("b", 2).as_ref(), limit), None);
        assert_eq!(at(stuck("a", 301).as_ref(), None, limit), None);
        let odd = at(None, told(&"\u{1b}[2J".repeat(1000), u64::MAX).as_ref(), limit).unwrap();
        assert_eq!((odd.what.chars().count(), odd.for_s), (LONGEST, i64::MAX));
        assert!(!odd.what.contains('\u{1b}'));
    }
}
