//! Decides when to report and what has to be said again. What was not acknowledged is said again; what was, only when
//! it changes, and all of it every quarter of an hour.

use crate::seen::{Told, Untold};
use cirro_models::{
    Id,
    compute::{
        Instance,
        report::{ActionDone, Holdings, NodeReport, NodeSeen, UnclaimedSeen},
    },
    storage::assignment::StorageReport,
};
use std::time::Duration;
use uuid::Uuid;

/// The most instances in one report, so that its body stays small; the others follow in the next one.
const MAX_INSTANCES: usize = 500;
/// How often everything is said again at the latest, changed or not. Nothing depends on it: it mends what nobody has thought of.
/// A node that has nothing to say reports no more often: compute hears its heartbeats, and storage does not ask
/// whether it lives.
const SAY_ALL: Duration = Duration::from_mins(15);
/// The pause after a report that was not acknowledged.
const PAUSE: Duration = Duration::from_secs(1);

/// A report that says nothing but how the machine is.
pub(crate) fn of(node: NodeSeen) -> NodeReport {
    NodeReport {
        boot_id: Uuid::nil(),
        sequence: 0,
        node,
        instances: Vec::new(),
        gone: Vec::new(),
        unclaimed: Vec::new(),
        actions: Vec::new(),
        console_logs: Vec::new(),
        holdings: None,
        under_way: None,
    }
}

/// The part of reporting that both services have in common.
#[derive(Debug)]
struct Channel {
    boot_id: Uuid,
    sequence: u64,
    heartbeat: Duration,
    in_flight: bool,
    not_before: Duration,
    last: Option<Duration>,
}

impl Channel {
    fn new(boot_id: Uuid, heartbeat: Duration) -> Self {
        Self { boot_id, sequence: 0, heartbeat, in_flight: false, not_before: Duration::ZERO, last: None }
    }
    /// When to say all: nodes that began at the same moment must not all do so at the same moment.
    fn say_all(boot_id: Uuid) -> Duration {
        let share = u32::try_from(boot_id.as_u128() % 1000).unwrap_or(0);
        SAY_ALL / 2 + SAY_ALL / 2000 * share
    }
    fn may_send(&self, now: Duration, news: bool) -> bool {
        let beat = self.last.is_none_or(|last| now >= last + self.heartbeat);
        !self.in_flight && now >= self.not_before && (news || beat)
    }
    fn send(&mut self) -> u64 {
        self.in_flight = true;
        self.sequence += 1;
        self.sequence
    }
    fn sent(&mut self, now: Duration, acknowledged: bool) {
        self.in_flight = false;
        if acknowledged {
            self.last = Some(now);
        } else {
            self.not_before = now + PAUSE;
        }
    }
    fn next(&self) -> Duration {
        if self.in_flight {
            // its end is a reason to look by itself
            return Duration::MAX;
        }
        self.last.map_or(self.not_before, |last| last + self.heartbeat).max(self.not_before)
    }
}

/// Reports to compute.
#[derive(Debug)]
pub struct NodeReporter {
    channel: Channel,
    heartbeat: Duration,
    epoch: Option<String>,
    acknowledged: Told,
    say_all: Duration,
    said_all: Duration,
    rest: Option<NodeReport>,
    holdings: Option<Holdings>,
}

impl NodeReporter {
    /// A reporter of a new boot.
    pub fn new(boot_id: Uuid, heartbeat: Duration) -> Self {
        let channel = Channel::new(boot_id, heartbeat);
        Self {
            channel,
            heartbeat,
            epoch: None,
            acknowledged: Told::new(),
            say_all: Channel::say_all(boot_id),
            said_all: Duration::ZERO,
            rest: None,
            holdings: None,
        }
    }

    /// Whether a report is on its way: until its end nothing else can be told, and nothing has to be worked out for that.
    pub fn is_sending(&self) -> bool {
        self.channel.in_flight
    }

    /// What is to be sent now, if anything. `rest` says everything but how instances are seen, which is compared with what
    /// was acknowledged, and what is held, which is asked only if it can be told; its boot id and sequence are filled in
    /// here.
    pub fn due(
        &mut self,
        now: Duration,
        epoch: Option<&str>,
        rest: NodeReport,
        untold: impl FnOnce(&Told) -> Untold,
        holdings: impl FnOnce() -> Option<Holdings>,
    ) -> Option<NodeReport> {
        if self.epoch.as_deref() != epoch {
            self.holdings = None;
        }
        if self.epoch.as_deref() != epoch || now >= self.said_all + self.say_all {
            self.epoch = epoch.map(str::to_owned);
            self.acknowledged.clear();
            self.said_all = now;
        }
        let mut report = rest;
        // how long something takes changes all the time, and is told with whatever else there is, or a heartbeat
        let under_way = report.under_way.take();
        let console_logs = std::mem::take(&mut report.console_logs);
        let is_rest_told = self.rest.as_ref() == Some(&report);
        let untold = untold(&self.acknowledged);
        // from the end, so that little has to move up
        untold.unseen.into_iter().rev().for_each(|id| self.acknowledged.remove(id));
        report.instances = untold.instances;
        report.instances.truncate(MAX_INSTANCES);
        report.console_logs = console_logs;
        let news = !is_rest_told || !report.instances.is_empty() || !report.console_logs.is_empty();
        // only with a heartbeat, when nothing else is going on: they are long, and nobody waits for them
        let holdings = if news { None } else { Some(holdings()).filter(|holdings| *holdings != self.holdings) };
        let quiet = !news && under_way.is_none() && holdings.is_none();
        self.channel.heartbeat = if quiet { self.say_all } else { self.heartbeat };
        if !self.channel.may_send(now, news) {
            return None;
        }
        report.holdings = holdings.flatten();
        report.under_way = under_way;
        report.boot_id = self.channel.boot_id;
        report.sequence = self.channel.send();
        Some(report)
    }

    /// How it went.
    pub fn sent(&mut self, now: Duration, report: NodeReport, acknowledged: bool) {
        self.channel.sent(now, acknowledged);
        if acknowledged {
            report.instances.into_iter().for_each(|seen| self.acknowledged.insert(seen.id, seen));
            if report.holdings.is_some() {
                self.holdings = report.holdings;
            }
            self.rest = Some(NodeReport {
                boot_id: Uuid::nil(),
                sequence: 0,
                instances: Vec::new(),
                console_logs: Vec::new(),
                holdings: None,
                under_way: None,
                ..report
            });
        }
    }

    /// Nobody knows how it went: all that was on its way is told again.
    pub fn cut_off(&mut self, now: Duration) {
        self.channel.sent(now, false);
    }

    /// Whether this end of an action is not acknowledged yet.
    pub fn is_news(&self, done: &ActionDone) -> bool {
        !self.rest.as_ref().is_some_and(|rest| rest.actions.contains(done))
    }

    /// The unclaimed guests that were acknowledged last.
    pub fn unclaimed(&self) -> Vec<UnclaimedSeen> {
        self.rest.as_ref().map(|rest| rest.unclaimed.clone()).unwrap_or_default()
    }

    /// These instances are told again with the next report, changed or not.
    pub fn repeat(&mut self, instances: &[Id<Instance>]) {
        for id in instances {
            self.acknowledged.remove(*id);
        }
    }

    /// When the next report is due at the latest.
    pub fn next(&self) -> Duration {
        self.channel.next()
    }
}

/// Reports to storage. Volumes of a node are few: each report says all.
#[derive(Debug)]
pub struct StorageReporter {
    channel: Channel,
    epoch: String,
    acknowledged: Option<StorageReport>,
}

impl StorageReporter {
    /// A reporter of a new boot.
    pub fn new(boot_id: Uuid) -> Self {
        let channel = Channel::new(boot_id, Channel::say_all(boot_id));
        Self { channel, epoch: String::new(), acknowledged: None }
    }
    /// Whether a report is on its way.
    pub fn is_sending(&self) -> bool {
        self.channel.in_flight
    }
    /// What is to be sent now, if anything.
    pub fn due(&mut self, now: Duration, epoch: &str, mut whole: StorageReport) -> Option<StorageReport> {
        if self.epoch != epoch {
            (self.epoch, self.acknowledged) = (epoch.to_owned(), None);
        }
        (whole.boot_id, whole.sequence) = (self.channel.boot_id, 0);
        let news = self.acknowledged.as_ref() != Some(&whole);
        if !self.channel.may_send(now, news) {
            return None;
        }
        whole.sequence = self.channel.send();
        Some(whole)
    }
    /// How it went.
    pub fn sent(&mut self, now: Duration, report: StorageReport, acknowledged: bool) {
        self.channel.sent(now, acknowledged);
        if acknowledged {
            self.acknowledged = Some(StorageReport { sequence: 0, ..report });
        }
    }
    /// Nobody knows how it went: it is told again.
    pub fn cut_off(&mut self, now: Duration) {
        self.channel.sent(now, false);
    }
    /// When the next report is due at the latest.
    pub fn next(&self) -> Duration {
        self.channel.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::compute::{node::Accelerator, report::UnderWay};

    const BEAT: Duration = Duration::from_secs(10);

    fn rest(under_way: Option<UnderWay>) -> NodeReport {
        let node =
            NodeSeen { accelerator: Accelerator::Kvm, message: None, agent_version: "1".to_owned(), watchdog_s: None };
        NodeReport { under_way, ..of(node) }
    }

    /// The moments, in seconds, at which this is reported, each time acknowledged.
    fn reported(holdings: Option<&Holdings>, under_way: Option<&UnderWay>) -> Vec<u64> {
        // which says all every 450 s
        let mut reporter = NodeReporter::new(Uuid::from_u128(1000), BEAT);
        let mut at = Vec::new();
        for second in 0..750 {
            let now = Duration::from_secs(second);
            let due =
                reporter.due(now, Some("1"), rest(under_way.cloned()), |_| Untold::default(), || holdings.cloned());
            if let Some(report) = due {
                reporter.sent(now, report, true);
                at.push(second);
            }
        }
        at
    }

    #[test]
    fn a_node_with_nothing_to_say_reports_seldom() {
        assert_eq!(reported(None, None), [0, 450]);
        assert_eq!(reported(Some(&Holdings::default()), None), [0, 10, 460], "what it holds is told soon");
        let under_way = UnderWay { what: "building".to_owned(), for_s: 1 };
        assert_eq!(reported(None, Some(&under_way)).len(), 75, "what does not end is told with every heartbeat");
    }
}
