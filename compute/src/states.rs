//! The states of an instance: which may follow which, how long those last that should pass, and what ends them.
//!
//! | from       | the owner wishes        | its node reports                      | time is over |
//! |------------|-------------------------|---------------------------------------|--------------|
//! | pending    | stop → stopping         | building, starting, running, stopped  | → failed     |
//! | building   | stop → stopping         | starting, running, stopped            | → failed     |
//! | starting   | stop → stopping         | building, running, stopped            | → failed     |
//! | running    | stop → stopping         | stopped, stopping, rebooting, starting | (lasts)     |
//! | stopping   | start → starting        | stopped, running                      | → failed     |
//! | stopped    | start → starting        | starting, running, building           | (lasts)      |
//! | rebooting  | stop → stopping         | running, stopped, starting            | → failed     |
//! | failed     | start/stop → starting/stopping | anything                       | (lasts)      |
//! | deleting   | nothing: delete wins    | gone                                  | says so, goes on |
//!
//! Every state may become `failed` by its node's report, and `deleting` by its owner's wish. An instance that has never come up
//! is pending again instead, until it was tried on other nodes (see `launch/elsewhere`).

use cirro_models::{
    Timestamp,
    compute::instance::{InstanceStatus as S, Power},
};

/// How long a state that should pass may last, in seconds; `None` for one that lasts.
pub fn deadline_s(status: &S) -> Option<i64> {
    match status {
        // an image may have to come to the node first
        S::Pending | S::Building => Some(900),
        S::Starting | S::Stopping | S::Rebooting => Some(300),
        S::Deleting => Some(600),
        S::Running | S::Stopped | S::Failed | S::Unclaimed | S::Unknown(_) => None,
    }
}

/// When a state that begins now has to end.
pub fn deadline(status: &S) -> Option<Timestamp> {
    deadline_s(status).map(|seconds| Timestamp::now().plus_seconds(seconds))
}

/// The state after the owner's wish has changed.
pub fn wished(from: &S, power: &Power) -> S {
    match (from, power) {
        (S::Deleting, _) => S::Deleting,
        (S::Stopped, Power::Stopped) => S::Stopped,
        (_, Power::Stopped) => S::Stopping,
        (S::Running, Power::Running) => S::Running,
        (S::Pending | S::Building, Power::Running) => from.clone(),
        _ => S::Starting,
    }
}

/// The state after a report; the present one if the reported may not follow it.
pub fn reported(from: &S, seen: &S) -> S {
    let may = match (from, seen) {
        (_, S::Failed) if *from != S::Deleting => true,
        (S::Pending, to) => matches!(to, S::Building | S::Starting | S::Running | S::Stopped),
        (S::Building, to) => matches!(to, S::Starting | S::Running | S::Stopped),
        (S::Starting, to) => matches!(to, S::Building | S::Running | S::Stopped),
        (S::Running, to) => matches!(to, S::Stopped | S::Stopping | S::Rebooting | S::Starting),
        (S::Stopping, to) => matches!(to, S::Stopped | S::Running),
        (S::Stopped, to) => matches!(to, S::Starting | S::Running | S::Building),
        (S::Rebooting, to) => matches!(to, S::Running | S::Stopped | S::Starting),
        (S::Failed, to) => {
            matches!(to, S::Building | S::Starting | S::Running | S::Stopping | S::Stopped | S::Rebooting)
        }
        _ => false,
    };
    if may { seen.clone() } else { from.clone() }
}

/// What ends a state whose time is over: the next state, and the reason.
pub fn overdue(from: &S) -> (S, String) {
    let minutes = deadline_s(from).unwrap_or_default() / 60;
    let advice = "look at its node (`cirro node list`) and its console log";
    match from {
        S::Deleting => (
            S::Deleting,
            format!("its node has not confirmed for {minutes} minutes that it is gone: check that the node runs"),
        ),
        S::Pending => (
            S::Failed,
            format!("its node has not begun within {minutes} minutes: check that the node runs, then start it again"),
        ),
        S::Stopping => {
            (S::Failed, format!("it did not stop within {minutes} minutes: use `cirro instance stop --force`"))
        }
        _ => (S::Failed, format!("it was {from} for {minutes} minutes: {advice}, then start it again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [S; 10] = [
        S::Pending,
        S::Building,
        S::Starting,
        S::Running,
        S::Stopping,
        S::Stopped,
        S::Rebooting,
        S::Deleting,
        S::Failed,
        S::Unclaimed,
    ];

    fn any_state() -> impl Strategy<Value = S> {
        (0..ALL.len()).prop_map(|n| ALL[n].clone())
    }

    proptest! {
        #[test]
        fn nothing_but_gone_ends_a_deletion(seen in any_state(), on in any::<bool>()) {
            let power = if on { Power::Running } else { Power::Stopped };
            prop_assert_eq!(reported(&S::Deleting, &seen), S::Deleting);
            prop_assert_eq!(wished(&S::Deleting, &power), S::Deleting);
            prop_assert_eq!(overdue(&S::Deleting).0, S::Deleting);
        }
        #[test]
        fn every_passing_state_ends(from in any_state()) {
            if deadline_s(&from).is_some() && from != S::Deleting {
                let (to, reason) = overdue(&from);
                prop_assert!(deadline_s(&to).is_none(), "{from} ends in {to}, which passes too");
                prop_assert!(!reason.is_empty());
            }
        }
        #[test]
        fn a_wish_leads_where_it_says(from in any_state()) {
            prop_assert!(matches!(wished(&from, &Power::Stopped), S::Stopping | S::Stopped | S::Deleting));
            prop_assert!(!matches!(wished(&from, &Power::Running), S::Stopping | S::Stopped | S::Failed));
        }
        #[test]
        fn what_a_node_says_is_never_a_state_of_ours(from in any_state()) {
            for seen in [S::Deleting, S::Pending, S::Unclaimed] {
                prop_assert_eq!(reported(&from, &seen), from.clone());
            }
        }
    }

    #[test]
    fn the_way_of_a_launch() {
        let way = [S::Pending, S::Building, S::Starting, S::Running];
        for pair in way.windows(2) {
            assert_eq!(reported(&pair[0], &pair[1]), pair[1]);
        }
    }
}
