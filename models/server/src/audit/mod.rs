//! The audit: each service finds among what it holds whatever has no owner, or does not agree with what it was made from.
//!
//! A service's own rows are read in one state of its database, mostly by statements that say what must not be
//! ([`Check`], [`Usage`]). What takes another look, such as files or another service's rows, the service does itself. What
//! is just on its way is no finding: only what is found twice in a row is told.

mod elsewhere;
mod usage;

pub use elsewhere::{gone, ids, ids_of_two};
pub use usage::Usage;

use crate::db::database_error;
use cirro_models::{
    Context, Result,
    finding::{Finding, Findings, Kind},
    sql::{AnyConnection, GuidValue, types::Guid},
};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types as st};
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The most findings of one kind that are told at once.
pub const MOST: usize = 1000;

/// Everything that a service finds at this moment, called in the name of an Operator.
pub type Audit = fn(Context) -> BoxFuture<'static, Result<Vec<Finding>>>;

/// A statement that finds all of one kind: `id`, `other` (an id or null) and `told` (a text or null) of each.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// What it finds.
    pub kind: Kind,
    /// The statement, the same for both databases.
    pub finds: &'static str,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Guid)]
    id: GuidValue,
    #[diesel(sql_type = st::Nullable<Guid>)]
    other: Option<GuidValue>,
    #[diesel(sql_type = st::Nullable<st::Text>)]
    told: Option<String>,
}

impl Check {
    /// What it finds now; one more than is told, so that it is known that there is more.
    ///
    /// # Errors
    /// The database does not answer.
    pub fn find(&self, c: &mut AnyConnection) -> Result<Vec<Finding>> {
        let rows: Vec<Row> = sql_query(self.finds).sql(" LIMIT 1001").load(c).map_err(database_error)?;
        let found = |row: Row| self.kind.found(row.id.0, row.other.map(|id| id.0), row.told.as_deref());
        Ok(rows.into_iter().map(found).collect())
    }
}

/// What all of these find in one state of the database.
///
/// # Errors
/// The database does not answer.
pub fn find_all(c: &mut AnyConnection, checks: &[Check], usages: &[Usage]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for check in checks {
        found.extend(check.find(c)?);
    }
    for usage in usages {
        found.extend(usage.find(c)?);
    }
    Ok(found)
}

/// What is found twice in a row: between one service and another, a file and its row, a guest and its node's report there
/// is always something on its way, and it has moved on when it is looked at again.
pub(crate) async fn run(audit: Audit, ctx: &Context) -> Result<Findings> {
    let first: BTreeSet<_> = audit(ctx.clone()).await?.iter().map(key).collect();
    if first.is_empty() {
        return Ok(Findings::default());
    }
    let mut items = audit(ctx.clone()).await?;
    items.retain(|finding| first.contains(&key(finding)));
    items.sort();
    let (mut kept, mut more) = (Vec::with_capacity(items.len()), Vec::new());
    let mut count = 0;
    for finding in items {
        let same = kept.last().is_some_and(|last: &Finding| last.code == finding.code);
        count = if same { count + 1 } else { 1 };
        if count <= MOST {
            kept.push(finding);
        } else if more.last() != Some(&finding.code) {
            more.push(finding.code);
        }
    }
    Ok(Findings { items: kept, more })
}

fn key(finding: &Finding) -> (String, Uuid, Option<Uuid>) {
    (finding.code.clone(), finding.id, finding.other_id)
}
