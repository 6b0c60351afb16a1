//! States that should have passed.

use cirro_models::{
    Result, Timestamp,
    compute::instance::instance_rows,
    finding::{Finding, Kind},
    sql::{AnyConnection, Column, GuidValue},
};
use cirro_server::{audit::MOST, db::database_error};
use diesel::prelude::*;

/// How long after its end a state is long over, in seconds: there is a look once a second.
const LATE_S: i64 = 60;

pub(super) const OVERDUE: Kind = Kind {
    code: "compute.status-overdue",
    thing: "instance",
    means: "the time of its status has been over for more than a minute, and nothing has ended it",
    remedy: "look for errors of compute's own work with `cirro site logs`",
};

/// Instances whose status should have ended.
pub(super) fn overdue(c: &mut AnyConnection) -> Result<Vec<Finding>> {
    let before = Timestamp::now().plus_seconds(-LATE_S);
    let rows: Vec<(GuidValue, String)> = instance_rows::table
        .filter(instance_rows::status_deadline.lt(before.store()))
        .select((instance_rows::id, instance_rows::status))
        .limit(i64::try_from(MOST + 1).unwrap_or(i64::MAX))
        .load(c)
        .map_err(database_error)?;
    Ok(rows.into_iter().map(|(id, status)| OVERDUE.found(id.0, None, Some(&status))).collect())
}
