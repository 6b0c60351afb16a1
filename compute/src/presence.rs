//! When each node was last heard of. Calls are counted in memory and shared with the other compute processes every
//! few seconds; time is measured by each process's own monotonic clock, never by comparing clocks.

use cirro_models::{
    Context, Error, Id, Result,
    compute::{Node, report::NodeReport},
    sql::{AnyConnection, Both, Column, GuidValue},
};
use cirro_server::OwnerContext;
use diesel::prelude::*;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use uuid::Uuid;

mod tables {
    #![allow(missing_docs, unreachable_pub)]
    diesel::table! {
        use cirro_models::sql::types::{Guid, BigInt, Nullable};
        node_presence (node_id) { node_id -> Guid, boot_id -> Nullable<Guid>, sequence -> BigInt, beats -> BigInt, }
    }
}
use tables::node_presence as row;

/// When each node was last heard of, by this process or another.
#[derive(Default)]
pub(crate) struct Presence(Mutex<HashMap<Id<Node>, Seen>>);

struct Seen {
    last: Instant,
    /// It has called here, and the others are not told yet.
    untold: bool,
    /// It has called any process since this one began.
    called: bool,
    /// The count when it was last looked at.
    beats: i64,
    /// Since when it is known to be stuck.
    stuck: Option<Instant>,
}

impl Seen {
    /// A node whose time begins.
    fn since(now: Instant) -> Self {
        Self { last: now, untold: false, called: false, beats: 0, stuck: None }
    }
}

impl Presence {
    /// The node has called.
    pub(crate) fn heard(&self, node: Id<Node>) {
        let (mut seen, now) = (self.0.lock(), Instant::now());
        let entry = seen.entry(node).or_insert_with(|| Seen::since(now));
        (entry.last, entry.untold, entry.called) = (now, true, true);
    }
    /// The node's time begins, though it has not called.
    pub(crate) fn begin(&self, node: Id<Node>) {
        self.0.lock().entry(node).or_insert_with(|| Seen::since(Instant::now()));
    }
    /// Sets back when the node was last heard of.
    #[cfg(test)]
    pub(crate) fn backdate(&self, node: Id<Node>, by: Duration) {
        if let Some(seen) = self.0.lock().get_mut(&node) {
            seen.last -= by;
        }
    }
    /// How long ago the node was heard of; `None` if never since this process began.
    pub(crate) fn silent_for(&self, node: Id<Node>) -> Option<Duration> {
        self.0.lock().get(&node).map(|seen| seen.last.elapsed())
    }
    /// Whether the node has called any process since this one began.
    pub(crate) fn has_called(&self, node: Id<Node>) -> bool {
        self.0.lock().get(&node).is_some_and(|seen| seen.called)
    }
    /// For how long this process has known the node to be stuck, if it is.
    pub(crate) fn stuck_for(&self, node: Id<Node>, is_stuck: bool) -> Duration {
        let mut seen = self.0.lock();
        let Some(seen) = seen.get_mut(&node) else { return Duration::ZERO };
        seen.stuck = is_stuck.then(|| seen.stuck.unwrap_or_else(Instant::now));
        seen.stuck.map(|since| since.elapsed()).unwrap_or_default()
    }
    fn take_untold(&self) -> Vec<Id<Node>> {
        let mut seen = self.0.lock();
        let untold = |(node, seen): (&Id<Node>, &mut Seen)| std::mem::take(&mut seen.untold).then_some(*node);
        seen.iter_mut().filter_map(untold).collect()
    }
    /// Takes over a count: one that has changed means that the node has called somewhere since the last look.
    fn learn(&self, node: Id<Node>, beats: i64) {
        let (mut seen, now) = (self.0.lock(), Instant::now());
        let entry = seen.entry(node).or_insert_with(|| Seen { beats, ..Seen::since(now) });
        if entry.beats != beats {
            (entry.last, entry.beats, entry.called) = (now, beats, true);
        }
    }
}

/// Tells the other processes who has called here, in one statement once they are known, and hears who has called there. Where one process
/// owns the database there are no others.
pub(crate) async fn share(ctx: &Context) -> Result<()> {
    let (database, presence) = (ctx.database()?, ctx.stores().part::<Presence>()?);
    if database.is_exclusive() {
        return Ok(());
    }
    let called = presence.take_untold();
    let counts = ctx.write(move |tx| {
        count(tx.connection(), &called)?;
        row::table.select((row::node_id, row::beats)).load::<(GuidValue, i64)>(tx.connection()).map_err(Error::internal)
    });
    for (node, beats) in counts.await? {
        presence.learn(Id::from_uuid(node.0), beats);
    }
    Ok(())
}

fn count(c: &mut AnyConnection, called: &[Id<Node>]) -> Result<()> {
    // sorted, so that two processes that count the same nodes do not lock each other out
    let mut nodes: Vec<Uuid> = called.iter().map(|node| node.uuid()).collect();
    nodes.sort_unstable();
    let one_more = |c: &mut AnyConnection| {
        let of_these = row::table.filter(row::node_id.eq_any(nodes.iter().copied().map(GuidValue)));
        diesel::update(of_these).set(row::beats.eq(row::beats + 1)).execute(c).map_err(Error::internal)
    };
    if one_more(c)? < nodes.len() {
        // some call for the first time; that the others are counted twice harms nothing
        for node in &nodes {
            add(c, GuidValue(*node), None, 0)?;
        }
        one_more(c)?;
    }
    Ok(())
}

/// Adds a node's row, unless there is one; says whether it did.
fn add(c: &mut AnyConnection, node: GuidValue, boot: Option<GuidValue>, sequence: i64) -> Result<bool> {
    let new = (row::node_id.eq(node), row::boot_id.eq(boot), row::sequence.eq(sequence), row::beats.eq(0));
    let insert = diesel::insert_into(row::table).values(new);
    Both(insert.on_conflict(row::node_id).do_nothing()).execute(c).map(|rows| rows == 1).map_err(Error::internal)
}

/// Whether a report is newer than those of the same boot before it, whichever process took those over; remembers it in
/// the transaction of its effect. A heartbeat has none, so it is not remembered: it must not cost a write.
pub(crate) fn is_news(c: &mut AnyConnection, node: Id<Node>, report: &NodeReport) -> Result<bool> {
    let sequence = i64::try_from(report.sequence).unwrap_or(i64::MAX);
    let boot = Some(GuidValue(report.boot_id));
    let newer =
        row::table.filter(row::node_id.eq(node.store()).and(row::boot_id.eq(boot)).and(row::sequence.ge(sequence)));
    if report.is_heartbeat() {
        let newer: i64 = newer.count().get_result(c).map_err(Error::internal)?;
        return Ok(newer == 0);
    }
    let older = row::boot_id.is_null().or(row::boot_id.ne(boot)).or(row::sequence.lt(sequence));
    let take = |c: &mut AnyConnection| {
        let taken = diesel::update(row::table.filter(row::node_id.eq(node.store())).filter(older))
            .set((row::boot_id.eq(boot), row::sequence.eq(sequence)))
            .execute(c);
        taken.map(|rows| rows == 1).map_err(Error::internal)
    };
    // a row that is neither there nor can be added was added at this moment, by who counts calls or by another report
    Ok(take(c)? || add(c, node.store(), boot, sequence)? || take(c)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::{
        Generation,
        compute::{
            instance::InstanceStatus,
            node::Accelerator,
            report::{InstanceSeen, NodeSeen},
        },
    };
    use cirro_server::{Owner, testkit::Backend};
    use std::sync::mpsc;

    fn report(sequence: u64) -> NodeReport {
        let seen = InstanceSeen {
            id: Id::new(),
            observed_generation: Generation::new(1),
            status: InstanceStatus::Running,
            reason: None,
            address: None,
            powered_off_itself: false,
        };
        NodeReport {
            boot_id: Uuid::nil(),
            sequence,
            node: NodeSeen {
                accelerator: Accelerator::Simulated,
                message: None,
                agent_version: "0.1".to_owned(),
                watchdog_s: None,
            },
            instances: vec![seen],
            gone: vec![],
            unclaimed: vec![],
            actions: vec![],
            console_logs: vec![],
            holdings: None,
            under_way: None,
        }
    }

    /// Waits until somebody waits for a lock, as what is under way at the same moment does.
    fn until_waited_for(c: &mut AnyConnection) {
        let began = Instant::now();
        let waits = "SELECT NULL FROM pg_locks WHERE NOT granted";
        while diesel::sql_query(waits).execute(c).unwrap() == 0 {
            assert!(began.elapsed() < Duration::from_secs(30), "nobody waits");
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_first_report_is_not_lost_to_a_count_at_the_same_moment() {
        let scratch = Backend::Postgres.open(crate::MIGRATIONS).await.unwrap();
        let running = Owner::mount_together(vec![crate::service(scratch.database.clone())]).remove(0);
        let (ctx, node) = (running.own_context(), Id::<Node>::new());
        let (begun, has_begun) = mpsc::channel();
        let counting = tokio::spawn({
            let ctx = ctx.clone();
            async move {
                ctx.write(move |tx| {
                    add(tx.connection(), GuidValue(node.uuid()), None, 0)?;
                    let _ = begun.send(());
                    until_waited_for(tx.connection());
                    Ok(())
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
        let news = |sequence| {
            let (ctx, report) = (ctx.clone(), report(sequence));
            async move { ctx.write(move |tx| is_news(tx.connection(), node, &report)).await.unwrap() }
        };
        assert!(news(2).await, "the node's first report was passed over");
        counting.await.unwrap().unwrap();
        assert!(!news(2).await && !news(1).await && news(3).await);
    }
}
