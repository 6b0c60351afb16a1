//! What projects have in use, as the books say and as it is counted anew.

use crate::db::{database_error, tables::quota_usage};
use cirro_models::{
    Result,
    finding::{Finding, Kind},
    sql::{AnyConnection, GuidValue, types::Guid},
};
use diesel::{QueryableByName, prelude::*, sql_query, sql_types as st};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A resource whose use is counted anew.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// What it finds.
    pub kind: Kind,
    /// The resource, as the quota names it.
    pub resource: &'static str,
    /// A statement that counts: `project_id` and `amount` of each project.
    pub counts: &'static str,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = Guid)]
    project_id: GuidValue,
    #[diesel(sql_type = st::BigInt)]
    amount: i64,
}

impl Usage {
    /// The projects of which the books say something else.
    ///
    /// # Errors
    /// The database does not answer.
    pub fn find(&self, c: &mut AnyConnection) -> Result<Vec<Finding>> {
        let kept: Vec<(GuidValue, i64)> = quota_usage::table
            .filter(quota_usage::resource.eq(self.resource))
            .select((quota_usage::project_id, quota_usage::used))
            .load(c)
            .map_err(database_error)?;
        let counted: Vec<Counted> = sql_query(self.counts).load(c).map_err(database_error)?;
        let mut both: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
        kept.into_iter().for_each(|(project, used)| both.entry(project.0).or_default().0 = used);
        counted.into_iter().for_each(|row| both.entry(row.project_id.0).or_default().1 = row.amount);
        let differs = |(project, (kept, counted)): (Uuid, (i64, i64))| {
            let told = || format!("{}: {kept} by the books, {counted} counted", self.resource);
            (kept != counted).then(|| self.kind.found(project, None, Some(&told())))
        };
        Ok(both.into_iter().filter_map(differs).collect())
    }
}
