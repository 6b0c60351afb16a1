//! How far a plan is, as a line for people and as one for scripts.

use cirro_models::compute::{
    LaunchPlan,
    launch_plan::PlanStatus,
    placement::{FailureGroup, Progress},
};
use serde::Serialize;
use std::time::Duration;

/// What of a plan's progress is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Tally {
    /// The plan.
    pub(super) plan: String,
    /// What it is doing.
    pub(super) status: String,
    /// How many instances it asks for.
    pub(super) asked: i64,
    /// How many have no place.
    pub(super) short: i64,
    /// How many wait for their turn.
    pub(super) queued: i64,
    /// How many have a node that has not begun.
    pub(super) placed: i64,
    /// How many wait for the node that could not launch them to let them go.
    #[serde(skip_serializing_if = "is_none")]
    pub(super) waiting: i64,
    /// How many are being started.
    pub(super) starting: i64,
    /// How many run.
    pub(super) running: i64,
    /// How many have failed.
    pub(super) failed: i64,
    /// How many came to run per second lately.
    pub(super) per_second: f64,
    /// How long the rest will take, in seconds.
    pub(super) eta_s: Option<i64>,
    /// Why they failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) failures: Vec<FailureGroup>,
    /// What others wait for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) waits: Vec<FailureGroup>,
}

/// How a plan ended, or has not ended yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It goes on.
    UnderWay,
    /// All that were asked for run.
    All,
    /// Some of them do not.
    Some,
}

impl Tally {
    /// Counts a plan.
    pub(super) fn of(plan: &LaunchPlan) -> Self {
        let placed = plan.outlook.as_ref().map_or(0, |outlook| outlook.placed);
        // until the first count, all of it has only been accepted
        let progress = plan
            .progress
            .clone()
            .unwrap_or_else(|| Progress { counts: [("placed".to_owned(), placed)].into(), ..Progress::default() });
        Self {
            plan: plan.name.to_string(),
            status: plan.status.to_string(),
            asked: plan.count(),
            short: (plan.count() - placed).max(0),
            queued: progress.count("queued"),
            placed: progress.count("placed"),
            waiting: progress.count("waiting"),
            starting: progress.count("starting"),
            running: progress.count("running"),
            failed: progress.count("failed"),
            per_second: progress.per_second,
            eta_s: progress.eta_s,
            failures: progress.failures,
            waits: progress.waits,
        }
    }
    /// Whether there is anything to wait for.
    pub(super) fn rest(&self, status: &PlanStatus) -> Rest {
        match status {
            PlanStatus::Launching | PlanStatus::Unknown(_) => Rest::UnderWay,
            PlanStatus::Launched if self.running == self.asked => Rest::All,
            _ => Rest::Some,
        }
    }
    /// The line that moves.
    pub(super) fn line(&self) -> String {
        let eta = self.eta_s.map(|eta| format!("  ETA {eta} s")).unwrap_or_default();
        let waiting = if self.waiting > 0 { format!("  {} waiting", self.waiting) } else { String::new() };
        format!(
            "{} queued  {} placed{waiting}  {} starting  {} running  {} failed  {:.1}/s{eta}",
            self.queued, self.placed, self.starting, self.running, self.failed, self.per_second
        )
    }
    /// What the first of those that wait are waiting for, in a few words.
    pub(super) fn wait(&self) -> Option<String> {
        self.waits.first().map(|group| format!("{} of them: {}", group.count, group.reason))
    }
    /// What there is to say at the end: how long, how many, and what went wrong.
    pub(super) fn summary(&self, took: Duration) -> String {
        let mut lines =
            vec![format!("{} of {} instances run after {:.1} s", self.running, self.asked, took.as_secs_f64())];
        let told: i64 = self.failures.iter().map(|group| group.count).sum();
        lines.extend(self.failures.iter().map(|group| format!("  {} failed: {}", group.count, group.reason)));
        if told < self.failed {
            lines.push(format!("  {} failed for other reasons", self.failed - told));
        }
        if self.short > 0 {
            lines.push(format!("  {} have no place", self.short));
        }
        lines.join("\n")
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks it so")]
fn is_none(count: &i64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(status: &str, progress: &serde_json::Value) -> LaunchPlan {
        let id = "01970000-0000-7000-8000-000000000001";
        let group = json!({"name": "web", "count": 12, "template": {"flavor_id": id, "image_id": id}});
        let outlook = json!({"placed": 10, "nodes": 2, "quota": {}, "of_free": 1, "image_bytes": 1});
        let row = json!({
            "id": id, "project_id": id, "name": "web", "groups": [group], "policy": "spread", "all_or_nothing": false,
            "intent": "launch", "generation": 1, "status": status, "outlook": outlook, "progress": progress,
            "version": 1, "created_by": "user:1", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z"
        });
        serde_json::from_value(row).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_line_and_the_summary() {
        let failures = json!([{"reason": "the disk is full", "count": 2}]);
        let progress = json!({"counts": {"queued": 1, "starting": 2, "running": 4, "failed": 3},
            "per_second": 2.0, "eta_s": 2, "failures": failures});
        let tally = Tally::of(&plan("launching", &progress));
        assert_eq!(tally.line(), "1 queued  0 placed  2 starting  4 running  3 failed  2.0/s  ETA 2 s");
        assert_eq!(
            tally.summary(Duration::from_millis(1940)),
            "4 of 12 instances run after 1.9 s\n  2 failed: the disk is full\n  1 failed for other reasons\n  2 have no place"
        );
    }

    #[test]
    fn all_run_only_where_all_that_were_asked_for_do() {
        let rest = |status: &str, running: i64| {
            let plan = plan(status, &json!({"counts": {"running": running}, "per_second": 0.0}));
            Tally::of(&plan).rest(&plan.status)
        };
        assert_eq!(rest("launching", 12), Rest::UnderWay);
        assert_eq!(rest("launched", 12), Rest::All);
        for status in ["launched", "halted", "undoing", "undone", "expired"] {
            assert_eq!(rest(status, 10), Rest::Some, "{status}");
        }
        let fresh = Tally::of(&plan("launching", &serde_json::Value::Null));
        assert_eq!((fresh.placed, fresh.wait()), (10, None));
        let waits = json!([{"reason": "it waits for node one, which does not report", "count": 3, "names": ["a"]}]);
        let waits = plan("launching", &json!({"counts": {"placed": 3}, "per_second": 0.0, "waits": waits}));
        let told = Tally::of(&waits).wait();
        assert_eq!(told.as_deref(), Some("3 of them: it waits for node one, which does not report"));
    }
}
