//! How far a plan is, counted from its instances' rows.

use cirro_models::{
    Error, Id, Result,
    compute::{
        LaunchPlan,
        placement::{FailureGroup, NodeLag, Progress},
    },
    sql::{AnyConnection, Column, GuidValue, types::Guid},
};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types as st};
use std::collections::BTreeMap;

/// The most nodes and reasons that are named.
const NAMED: i64 = 5;
/// The most instances that are named for a reason.
const NAMES: i64 = 10;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = st::Text)]
    state: String,
    #[diesel(sql_type = st::BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = st::Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Lag {
    #[diesel(sql_type = Guid)]
    node_id: GuidValue,
    #[diesel(sql_type = st::BigInt)]
    count: i64,
}

/// What the plan still holds is to come: in one statement with what has come, so that nothing is missed or seen twice that comes
/// meanwhile.
const STATES: &str = "SELECT CASE WHEN deleted_at IS NOT NULL THEN 'deleting' \
    WHEN status = 'pending' AND node_id IS NOT NULL THEN 'placed' \
    WHEN status = 'pending' AND leaving_node_id IS NOT NULL THEN 'waiting' WHEN status = 'pending' THEN 'queued' \
    WHEN status IN ('building', 'starting', 'rebooting') THEN 'starting' ELSE status END AS state, \
    count(*) AS count FROM instance WHERE plan_id = $1 GROUP BY 1 \
    UNION ALL SELECT 'queued' AS state, count(*) AS count FROM claim WHERE held_by = $1";
const ON_THEIR_WAY: &str = "SELECT '' AS state, count(*) AS count FROM (SELECT id FROM instance WHERE plan_id = $1 \
    AND status IN ('pending', 'building', 'starting', 'rebooting') AND deleted_at IS NULL LIMIT $2) AS counted";
const FAILED_ONES: &str = "SELECT '' AS state, count(*) AS count FROM (SELECT id FROM instance WHERE plan_id = $1 \
    AND status = 'failed' AND deleted_at IS NULL LIMIT $2) AS counted";
const LAGS: &str = "SELECT coalesce(node_id, leaving_node_id) AS node_id, count(*) AS count FROM instance \
    WHERE plan_id = $1 AND deleted_at IS NULL AND coalesce(node_id, leaving_node_id) IS NOT NULL \
    AND status IN ('pending', 'building', 'starting') GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT $2";
const FAILURES: &str = "SELECT coalesce(status_reason, 'no reason was told') AS state, count(*) AS count FROM instance \
    WHERE plan_id = $1 AND deleted_at IS NULL AND status = 'failed' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT $2";

const FAILED: &str = "SELECT name FROM instance WHERE plan_id = $1 AND deleted_at IS NULL AND status = 'failed' \
    AND coalesce(status_reason, 'no reason was told') = $2 ORDER BY name LIMIT $3";

const WAITS: &str = "SELECT status_reason AS state, count(*) AS count FROM instance WHERE plan_id = $1 \
    AND deleted_at IS NULL AND status IN ('pending', 'building', 'starting') AND status_reason IS NOT NULL \
    GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT $2";
const WAITING: &str = "SELECT name FROM instance WHERE plan_id = $1 AND deleted_at IS NULL \
    AND status IN ('pending', 'building', 'starting') AND status_reason = $2 ORDER BY name LIMIT $3";

/// Counts a plan's instances. The rate is not known here.
pub(super) fn count(c: &mut AnyConnection, plan: Id<LaunchPlan>, launched: i64) -> Result<Progress> {
    let plan = plan.store();
    let states: Vec<Row> = sql_query(STATES).bind::<Guid, _>(plan).load(c).map_err(Error::internal)?;
    let mut counts = BTreeMap::<String, i64>::new();
    for row in states.into_iter().filter(|row| row.count > 0) {
        *counts.entry(row.state).or_default() += row.count;
    }
    let gone = launched - counts.values().sum::<i64>();
    if gone > 0 {
        counts.insert("gone".to_owned(), gone);
    }
    let lags: Vec<Lag> =
        sql_query(LAGS).bind::<Guid, _>(plan).bind::<st::BigInt, _>(NAMED).load(c).map_err(Error::internal)?;
    let (failures, waits) = (groups(c, plan, FAILURES, FAILED)?, groups(c, plan, WAITS, WAITING)?);
    Ok(Progress {
        counts,
        slowest: lags
            .into_iter()
            .map(|lag| NodeLag { node_id: Id::from_uuid(lag.node_id.0), waiting: lag.count })
            .collect(),
        failures,
        waits,
        ..Progress::default()
    })
}

/// Instances by reason, and the names of the first of each.
fn groups(
    c: &mut AnyConnection,
    plan: GuidValue,
    reasons: &'static str,
    names: &'static str,
) -> Result<Vec<FailureGroup>> {
    let rows: Vec<Row> =
        sql_query(reasons).bind::<Guid, _>(plan).bind::<st::BigInt, _>(NAMED).load(c).map_err(Error::internal)?;
    let group = |Row { state: reason, count }: Row| {
        let named = sql_query(names).bind::<Guid, _>(plan).bind::<st::Text, _>(&reason).bind::<st::BigInt, _>(NAMES);
        let named: Vec<Named> = named.load(c).map_err(Error::internal)?;
        Ok(FailureGroup { reason, count, names: named.into_iter().map(|row| row.name).collect() })
    };
    rows.into_iter().map(group).collect()
}

/// How many of a plan's instances are on their way or wait for their turn, as far as this many are counted.
pub(super) fn on_their_way(c: &mut AnyConnection, plan: Id<LaunchPlan>, most: i64) -> Result<i64> {
    some(c, ON_THEIR_WAY, plan, most)
}

/// How many of a plan's instances have failed, as far as this many are counted.
pub(super) fn failed(c: &mut AnyConnection, plan: Id<LaunchPlan>, most: i64) -> Result<i64> {
    some(c, FAILED_ONES, plan, most)
}

fn some(c: &mut AnyConnection, query: &'static str, plan: Id<LaunchPlan>, most: i64) -> Result<i64> {
    let counted = sql_query(query).bind::<Guid, _>(plan.store()).bind::<st::BigInt, _>(most);
    let row: Row = counted.get_result(c).map_err(Error::internal)?;
    Ok(row.count)
}

/// How many failures halt a plan, if any number does.
pub(super) fn halts_at(plan: &LaunchPlan) -> Option<i64> {
    plan.max_failures.map(|most| most.get().max(1))
}

/// How many instances still have a way to go.
pub(super) fn under_way(progress: &Progress) -> i64 {
    progress.count("placed") + progress.count("starting") + progress.count("waiting")
}
