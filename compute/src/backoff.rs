//! Nodes on which one launch after the other fails: nothing new comes there for a while, so that they do not draw all that
//! is launched just because they stay empty. A launch that succeeds makes everything good.

use cirro_models::{
    Id, Result, Timestamp,
    compute::{Node, node::Failing},
};
use cirro_server::Tx;

/// From this many failures in a row on, a node is left alone.
const BAD: i64 = 3;
/// For how long the first time, in seconds; each further time it is twice as long.
const FIRST_S: i64 = 30;
/// The longest, in seconds: what was repaired is tried within ten minutes.
const LONGEST_S: i64 = 600;

/// How the launches went that a node has reported just now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Launches {
    /// How many have failed.
    pub(crate) failed: i64,
    /// Whether one has come up.
    pub(crate) succeeded: bool,
}

/// Whether nothing new comes to the node now.
pub(crate) fn is_left_alone(node: &Node, now: Timestamp) -> bool {
    node.failing.as_ref().and_then(|failing| failing.until).is_some_and(|until| until > now)
}

/// What is known of a node after these launches.
fn after(before: Option<Failing>, launches: Launches, now: Timestamp) -> Option<Failing> {
    // a report tells no order: one that came up shows that the node can do it
    if launches.succeeded {
        return None;
    }
    if launches.failed == 0 {
        return before;
    }
    let mut failing = before.unwrap_or(Failing { in_a_row: 0, pause_s: None, until: None });
    failing.in_a_row = failing.in_a_row.saturating_add(launches.failed);
    // what was placed before the pause and fails during it is the same news
    if failing.in_a_row >= BAD && failing.until.is_none_or(|until| until <= now) {
        let pause = failing.pause_s.map_or(FIRST_S, |pause| pause.saturating_mul(2).min(LONGEST_S));
        (failing.pause_s, failing.until) = (Some(pause), Some(now.plus_seconds(pause)));
    }
    Some(failing)
}

/// Takes note of how launches went on a node, in the transaction of its report.
pub(crate) fn note(tx: &mut Tx<'_>, node: Id<Node>, launches: Launches) -> Result<()> {
    if launches == Launches::default() {
        return Ok(());
    }
    let now = Timestamp::now();
    tx.change::<Node>(node, |node| node.failing = after(node.failing.take(), launches, now)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Launches = Launches { failed: 1, succeeded: false };

    #[test]
    fn the_pause_begins_with_the_third_failure_and_doubles_up_to_ten_minutes() {
        let mut now = Timestamp::now();
        let mut failing = None;
        for _ in 0..2 {
            failing = after(failing, ONE, now);
            assert_eq!(failing.as_ref().unwrap().until, None);
        }
        for pause in [30, 60, 120, 240, 480, 600, 600] {
            failing = after(failing, ONE, now);
            let until = now.plus_seconds(pause);
            assert_eq!(failing.as_ref().unwrap().until, Some(until));
            // what fails meanwhile was placed before
            failing = after(failing, Launches { failed: 20, succeeded: false }, now.plus_seconds(pause - 1));
            assert_eq!(failing.as_ref().unwrap().until, Some(until));
            now = until;
        }
        assert_eq!(failing.as_ref().unwrap().in_a_row, 2 + 7 * 21);
        assert_eq!(after(failing.clone(), Launches::default(), now), failing);
        assert_eq!(after(failing, Launches { failed: 5, succeeded: true }, now), None);
    }

    #[test]
    fn many_failures_in_one_report_are_one_pause() {
        let now = Timestamp::now();
        let failing = after(None, Launches { failed: 30, succeeded: false }, now).unwrap();
        assert_eq!((failing.in_a_row, failing.pause_s, failing.until), (30, Some(30), Some(now.plus_seconds(30))));
    }
}
